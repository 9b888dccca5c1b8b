//! Libraries of functions (FUNCTION): their sources, and which functions they have registered.
//!
//! It keeps what is loaded and says what may be loaded; the code itself runs elsewhere. Names of functions are unique
//! whatever their case, names of libraries are not.

use std::collections::{BTreeMap, HashMap};

use super::exchange::{Function, FunctionId};
use crate::base::quoting::split_words;

/// The only engine.
pub const ENGINE: &str = "LUA";
const NAME_RULE: &str = "Library names can only contain letters, numbers, or underscores(_) and must be at least one character long";

/// A library that is loaded.
#[derive(PartialEq, Debug)]
pub struct Library {
    pub name: Vec<u8>,
    /// The whole text, with its first line.
    pub source: Vec<u8>,
    pub functions: Vec<Function>,
}

impl Library {
    fn ids(&self) -> impl Iterator<Item = FunctionId> {
        self.functions.iter().map(|function| function.id)
    }
}

/// Functions that the interpreter needs no more.
pub type Released = Vec<FunctionId>;

/// Why libraries weren't added: the text of the error, which has no code, and what has to be released of them.
pub type Refused = (Vec<u8>, Released);

/// What the first line of a library says.
#[derive(PartialEq, Debug)]
pub struct Metadata<'s> {
    pub name: Vec<u8>,
    /// The source without the first line, but with its end, so that lines keep their numbers.
    pub code: &'s [u8],
}

/// See the module's description.
#[derive(Default, Debug)]
pub struct Libraries {
    libraries: BTreeMap<Vec<u8>, Library>,
    /// The library of each function, by its name in lower case.
    functions: HashMap<Vec<u8>, Vec<u8>>,
}

/// Whether a library or function may have this name.
pub fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

/// Checks the name of a function; the text of the error if it may not have it.
pub fn check_function_name(name: &[u8]) -> Result<(), &'static str> {
    if is_name(name) { Ok(()) } else { Err(NAME_RULE) }
}

/// Reads the first line, `#!lua name=library`; the text of the error if it isn't right.
pub fn metadata(source: &[u8]) -> Result<Metadata<'_>, Vec<u8>> {
    let invalid = || b"Invalid library metadata".to_vec();
    if !source.starts_with(b"#!") {
        return Err(b"Missing library metadata".to_vec());
    }
    let end = memchr::memchr2(b'\n', 0, source).filter(|&end| source[end] == b'\n').ok_or_else(invalid)?;
    let words = split_words(&source[..end]).map_err(|_| invalid())?;
    let mut words = words.iter();
    let engine = words.next().and_then(|word| word.strip_prefix(b"#!")).ok_or_else(invalid)?;
    let mut name = None;
    for word in words {
        match word.split_at_checked(5) {
            Some((key, _)) if key.eq_ignore_ascii_case(b"name=") && name.is_some() => {
                return Err(b"Invalid metadata value, name argument was given multiple times".to_vec());
            }
            Some((key, value)) if key.eq_ignore_ascii_case(b"name=") => name = Some(value),
            _ => return Err([b"Invalid metadata value given: ", &word[..]].concat()),
        }
    }
    let name = name.ok_or_else(|| b"Library name was not given".to_vec())?;
    if !is_name(name) {
        return Err(NAME_RULE.into());
    } else if !engine.eq_ignore_ascii_case(ENGINE.as_bytes()) {
        return Err([b"Engine '", engine, b"' not found"].concat());
    }
    Ok(Metadata { name: name.to_vec(), code: &source[end..] })
}

impl Libraries {
    /// A function by its name, in any case.
    pub fn function(&self, name: &[u8]) -> Option<&Function> {
        let library = self.libraries.get(self.functions.get(&name.to_ascii_lowercase())?)?;
        library.functions.iter().find(|function| function.name.eq_ignore_ascii_case(name))
    }

    /// All libraries, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Library> {
        self.libraries.values()
    }

    /// Functions of all libraries.
    pub fn function_count(&self) -> usize {
        self.functions.len()
    }

    /// Bytes that names, sources and descriptions take, about.
    pub fn memory(&self) -> usize {
        let of_function = |function: &Function| {
            let text = function.name.len() * 2 + function.description.as_ref().map_or(0, Vec::len);
            text + size_of::<Function>() + size_of::<(Vec<u8>, Vec<u8>)>()
        };
        let of_library = |library: &Library| {
            let functions: usize = library.functions.iter().map(of_function).sum();
            size_of::<Library>() + library.source.len() + library.name.len() * 2 + functions
        };
        self.iter().map(of_library).sum()
    }

    /// Whether a library of this name may be loaded; the text of the error if not.
    pub fn check(&self, name: &[u8], replace: bool) -> Result<(), Vec<u8>> {
        if !replace && self.libraries.contains_key(name) {
            return Err([b"Library '", name, b"' already exists"].concat());
        }
        Ok(())
    }

    /// Adds a library that has been run, in place of one of the same name.
    pub fn add(&mut self, library: Library) -> Result<Released, Refused> {
        let refused = |text: Vec<u8>| (text, library.ids().collect());
        if library.functions.is_empty() {
            return Err(refused(b"No functions registered".to_vec()));
        }
        if let Some(name) = self.colliding(&library, |owner| owner == &library.name) {
            return Err(refused([b"Function ", name, b" already exists"].concat()));
        }
        let released = self.delete(&library.name).unwrap_or_default();
        self.link(library);
        Ok(released)
    }

    /// The first function of a library that another one has, unless `ignored` says that this one doesn't matter.
    fn colliding<'l>(&self, library: &'l Library, ignored: impl Fn(&Vec<u8>) -> bool) -> Option<&'l [u8]> {
        let exists = |function: &&Function| {
            self.functions.get(&function.name.to_ascii_lowercase()).is_some_and(|owner| !ignored(owner))
        };
        library.functions.iter().find(exists).map(|function| &function.name[..])
    }

    fn link(&mut self, library: Library) {
        for function in &library.functions {
            self.functions.insert(function.name.to_ascii_lowercase(), library.name.clone());
        }
        self.libraries.insert(library.name.clone(), library);
    }

    /// Removes a library; `None` if there is none of this name.
    pub fn delete(&mut self, name: &[u8]) -> Option<Released> {
        let library = self.libraries.remove(name)?;
        for function in &library.functions {
            self.functions.remove(&function.name.to_ascii_lowercase());
        }
        Some(library.ids().collect())
    }

    /// Adds the libraries of `others`, all or none; those of the same names make it fail unless they are to be replaced.
    pub fn join(&mut self, others: Libraries, replace: bool) -> Result<Released, Refused> {
        let refused = |text: &[&[u8]]| Err((text.concat(), others.all_ids()));
        if let Some(name) =
            others.libraries.keys().find(|name| !replace && self.libraries.contains_key(*name))
        {
            return refused(&[b"Library ", name, b" already exists"]);
        }
        let replaced = |owner: &Vec<u8>| others.libraries.contains_key(owner);
        if let Some(name) = others.iter().find_map(|library| self.colliding(library, replaced)) {
            return refused(&[b"Function ", name, b" already exists"]);
        }
        let mut released = Released::new();
        for (name, library) in others.libraries {
            released.extend(self.delete(&name).unwrap_or_default());
            self.link(library);
        }
        Ok(released)
    }

    /// The functions of all libraries.
    pub fn all_ids(&self) -> Released {
        self.iter().flat_map(Library::ids).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::scripting::Flags;

    fn library(name: &str, functions: &[&str], first: u32) -> Library {
        let function = |(name, id): (&&str, u32)| Function {
            name: name.as_bytes().to_vec(),
            description: None,
            flags: Flags::default(),
            id: FunctionId(id),
        };
        Library {
            name: name.into(),
            source: format!("#!lua name={name}\n").into(),
            functions: functions.iter().zip(first..).map(function).collect(),
        }
    }

    fn ids(ids: &[u32]) -> Released {
        ids.iter().map(|&id| FunctionId(id)).collect()
    }

    #[test]
    fn the_first_line_names_engine_and_library() {
        let found = metadata(b"#!LUA NAME=\"a_b\"\ncode").expect("right");
        assert_eq!(found, Metadata { name: b"a_b".to_vec(), code: b"\ncode" });
        for (source, text) in [
            ("code", "Missing library metadata"),
            ("#!lua name=x", "Invalid library metadata"),
            ("#!lua name=\"x\n", "Invalid library metadata"),
            ("#!lua name=x\0\n", "Invalid library metadata"),
            ("#!lua\n", "Library name was not given"),
            ("#!lua name=x name=y\n", "Invalid metadata value, name argument was given multiple times"),
            ("#!lua nam\n", "Invalid metadata value given: nam"),
            ("#!lua name=a-b\n", NAME_RULE),
            ("#!lua name=\n", NAME_RULE),
            ("#!js name=x\n", "Engine 'js' not found"),
        ] {
            let found = metadata(source.as_bytes()).expect_err(source);
            assert_eq!(String::from_utf8_lossy(&found), text, "{source:?}");
        }
    }

    #[test]
    fn functions_have_one_library_whatever_their_case() {
        let mut libraries = Libraries::default();
        assert_eq!(libraries.add(library("a", &["f", "g"], 1)), Ok(ids(&[])));
        assert_eq!(libraries.function(b"G").map(|function| function.id), Some(FunctionId(2)));
        let refused = libraries.add(library("b", &["h", "F"], 3));
        assert_eq!(refused, Err((b"Function F already exists".to_vec(), ids(&[3, 4]))));
        assert_eq!(libraries.check(b"a", false), Err(b"Library 'a' already exists".to_vec()));
        assert_eq!(libraries.check(b"A", false), Ok(()));
        assert_eq!(libraries.add(library("a", &["f"], 5)), Ok(ids(&[1, 2])));
        assert_eq!(libraries.function(b"g"), None);
        assert_eq!(libraries.add(library("c", &[], 6)), Err((b"No functions registered".to_vec(), ids(&[]))));
        assert_eq!(libraries.delete(b"b"), None);
        assert_eq!(libraries.delete(b"a"), Some(ids(&[5])));
        assert_eq!((libraries.function_count(), libraries.iter().len(), libraries.memory()), (0, 0, 0));
    }

    #[test]
    fn libraries_are_joined_all_or_none() {
        let mut libraries = Libraries::default();
        libraries.add(library("a", &["f"], 1)).expect("added");
        libraries.add(library("b", &["g"], 2)).expect("added");
        let others = |functions: &[&str]| {
            let mut others = Libraries::default();
            others.add(library("a", functions, 3)).expect("added");
            others
        };
        let refused = libraries.join(others(&["x"]), false);
        assert_eq!(refused, Err((b"Library a already exists".to_vec(), ids(&[3]))));
        let refused = libraries.join(others(&["x", "G"]), true);
        assert_eq!(refused, Err((b"Function G already exists".to_vec(), ids(&[3, 4]))));
        assert_eq!(libraries.function(b"f").map(|function| function.id), Some(FunctionId(1)));
        assert_eq!(libraries.join(others(&["f", "x"]), true), Ok(ids(&[1])));
        assert_eq!(libraries.function(b"f").map(|function| function.id), Some(FunctionId(3)));
        assert_eq!(libraries.function_count(), 3);
    }
}
