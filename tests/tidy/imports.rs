//! The import graph of `src`: which file uses items of which other file.
//!
//! A small reader of Rust, not a compiler: it splits a file into words and `::`, reads the `use` declarations and
//! the paths in the code, and resolves each as rustc would: `crate`, `self`, `super`, child modules, imported names,
//! re-exports and glob imports. Comments, literals and everything under `#[cfg(test)]` are left out. It doesn't
//! see method calls: an `impl` block may lie in another file than its type.

use std::collections::{BTreeMap, BTreeSet};

/// What a reader of modules needs of a source file.
#[derive(Debug, PartialEq)]
enum Token {
    Word(String),
    /// `::`
    Separator,
    Mark(char),
}

/// One leaf of a `use` declaration: `path`, known here as `name`.
#[derive(Debug)]
struct Import {
    name: String,
    path: Vec<String>,
    /// `pub use`, at any visibility.
    reexport: bool,
}

/// A file of `src`.
#[derive(Debug, Default)]
pub struct Module {
    /// `["engine", "clients"]` of `src/engine/clients/mod.rs`.
    pub path: Vec<String>,
    imports: Vec<Import>,
    /// Modules of which `use module::*` imports everything.
    globs: Vec<Vec<String>>,
    /// Paths of two or more words in the code.
    uses: Vec<Vec<String>>,
    /// Names of items that the file declares.
    items: BTreeSet<String>,
    /// Words outside `use` declarations.
    words: BTreeSet<String>,
}

/// All files of `src`, by their module paths.
pub struct Imports {
    modules: Vec<Module>,
    by_path: BTreeMap<Vec<String>, usize>,
}

impl Imports {
    /// Of files given by their module path and text.
    pub fn new(files: impl IntoIterator<Item = (Vec<String>, String)>) -> Imports {
        let modules: Vec<Module> = files.into_iter().map(|(path, text)| read(path, &text)).collect();
        let by_path = modules.iter().enumerate().map(|(number, m)| (m.path.clone(), number)).collect();
        Imports { modules, by_path }
    }

    pub fn modules(&self) -> &[Module] {
        &self.modules
    }

    /// The files whose items the file `number` uses, but for itself.
    pub fn used_by(&self, number: usize) -> BTreeSet<usize> {
        let module = &self.modules[number];
        let imports = module.imports.iter().filter(|import| {
            // A re-export is a declaration, unless the file uses the name itself.
            !import.reexport || module.words.contains(&import.name)
        });
        let paths = imports.map(|import| &import.path).chain(&module.globs).chain(&module.uses);
        paths.filter_map(|path| self.resolve(number, path, 0)).filter(|found| *found != number).collect()
    }

    /// The file that declares what `path` names in the file `from`; `None` outside this crate.
    fn resolve(&self, from: usize, path: &[String], depth: usize) -> Option<usize> {
        let (first, rest) = path.split_first()?;
        let start = &self.modules[from].path;
        match first.as_str() {
            "crate" => self.descend(self.by_path[&Vec::new()], rest, depth),
            "self" => self.descend(from, rest, depth),
            "super" => self.descend(self.by_path[&start[..start.len().checked_sub(1)?]], rest, depth),
            _ => self.find(from, path, depth),
        }
    }

    /// Walks `path` down from the module `at`.
    fn descend(&self, at: usize, path: &[String], depth: usize) -> Option<usize> {
        match path.first() {
            None => Some(at),
            Some(word) if word == "super" => self.resolve(at, path, depth),
            // What isn't declared by a word that the reader knows is the file's own: a macro, an inline module.
            Some(_) => self.find(at, path, depth).or(Some(at)),
        }
    }

    /// What a path that begins with a name of the module `at` leads to.
    fn find(&self, at: usize, path: &[String], depth: usize) -> Option<usize> {
        let module = &self.modules[at];
        let (name, rest) = path.split_first()?;
        let mut child = module.path.clone();
        child.push(name.clone());
        if let Some(child) = self.by_path.get(&child) {
            return self.descend(*child, rest, depth);
        }
        if module.items.contains(name) {
            return Some(at);
        }
        if depth > 8 {
            return None;
        }
        if let Some(import) = module.imports.iter().find(|import| import.name == *name) {
            let path: Vec<String> = import.path.iter().chain(rest).cloned().collect();
            return self.resolve(at, &path, depth + 1);
        }
        module.globs.iter().find_map(|glob| {
            let target = self.resolve(at, glob, depth + 1)?;
            self.find(target, path, depth + 1)
        })
    }
}

/// Reads one file.
fn read(path: Vec<String>, text: &str) -> Module {
    let tokens = without_tests(tokens(text));
    let mut module = Module { path, ..Module::default() };
    let mut at = 0;
    let mut depth = 0usize;
    while at < tokens.len() {
        match &tokens[at] {
            // `use<'a>` in a type is no declaration.
            Token::Word(word) if word == "use" && tokens.get(at + 1) != Some(&Token::Mark('<')) => {
                // After `pub` or `pub(…)`.
                let before = at.checked_sub(1).map(|before| &tokens[before]);
                let reexport = before.is_some_and(|token| match token {
                    Token::Word(word) => word == "pub",
                    Token::Mark(mark) => *mark == ')',
                    Token::Separator => false,
                });
                at = read_use(&tokens, at + 1, &mut Vec::new(), reexport, &mut module);
                continue;
            }
            Token::Word(word) => {
                module.words.insert(word.clone());
                let declares = ["fn", "struct", "enum", "trait", "type", "const", "static", "union"];
                if depth == 0
                    && declares.contains(&word.as_str())
                    && let Some(Token::Word(name)) = tokens.get(at + 1)
                {
                    module.items.insert(name.clone());
                }
                let mut path = vec![word.clone()];
                while let (Some(Token::Separator), Some(Token::Word(next))) =
                    (tokens.get(at + 1), tokens.get(at + 2))
                {
                    path.push(next.clone());
                    at += 2;
                }
                if path.len() > 1 {
                    module.uses.push(path);
                }
            }
            Token::Mark('{') => depth += 1,
            Token::Mark('}') => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    module
}

/// Reads a tree of a `use` declaration from `at`; returns where it ends, past its `;`, `,` or `}`.
fn read_use(
    tokens: &[Token],
    mut at: usize,
    prefix: &mut Vec<String>,
    reexport: bool,
    module: &mut Module,
) -> usize {
    let base = prefix.len();
    let mut alias = None;
    let mut leaf = true;
    while at < tokens.len() {
        match &tokens[at] {
            Token::Word(word) if word == "as" => {
                if let Some(Token::Word(name)) = tokens.get(at + 1) {
                    alias = Some(name.clone());
                }
                at += 1;
            }
            Token::Word(word) => prefix.push(word.clone()),
            Token::Mark('*') => {
                module.globs.push(prefix.clone());
                leaf = false;
            }
            Token::Mark('{') => {
                leaf = false;
                at += 1;
                while at < tokens.len() && tokens[at] != Token::Mark('}') {
                    at = read_use(tokens, at, prefix, reexport, module);
                    if tokens.get(at) == Some(&Token::Mark(',')) {
                        at += 1;
                    }
                }
            }
            Token::Mark(',' | '}' | ';') => break,
            _ => {}
        }
        at += 1;
    }
    if leaf && prefix.len() > base {
        let mut path = prefix.clone();
        if path.len() > 1 && path.last().is_some_and(|word| word == "self") {
            path.pop();
        }
        let name = alias.or_else(|| path.last().cloned()).unwrap_or_default();
        module.imports.push(Import { name, path, reexport });
    }
    prefix.truncate(base);
    at
}

/// Leaves out every item that `#[cfg(test)]` stands before.
fn without_tests(tokens: Vec<Token>) -> Vec<Token> {
    let mark = tokens_of_cfg_test();
    let mut kept = Vec::with_capacity(tokens.len());
    let mut rest = tokens.into_iter().peekable();
    let mut window: Vec<Token> = Vec::new();
    while let Some(token) = rest.next() {
        window.push(token);
        if window.len() >= mark.len() && window[window.len() - mark.len()..] == mark[..] {
            window.truncate(window.len() - mark.len());
            let (mut depth, mut is_use) = (0usize, false);
            for token in rest.by_ref() {
                match token {
                    Token::Word(word) if word == "use" => is_use = true,
                    Token::Mark('{' | '(' | '[') => depth += 1,
                    Token::Mark(close @ ('}' | ')' | ']')) => {
                        depth = depth.saturating_sub(1);
                        if depth == 0 && close == '}' && !is_use {
                            break;
                        }
                    }
                    Token::Mark(';') if depth == 0 => break,
                    _ => {}
                }
            }
        }
    }
    kept.append(&mut window);
    kept
}

fn tokens_of_cfg_test() -> Vec<Token> {
    tokens("#[cfg(test)]")
}

/// Splits a file into words, `::` and marks; comments, strings, characters and lifetimes are left out.
fn tokens(text: &str) -> Vec<Token> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let byte = rest[0];
        if rest.starts_with(b"//") {
            at += rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
        } else if rest.starts_with(b"::") {
            found.push(Token::Separator);
            at += 2;
        } else if let Some(length) = raw_string(rest) {
            at += length;
        } else if byte == b'"' {
            at += 1 + quoted(&rest[1..], b'"');
        } else if byte == b'\'' {
            at += character(rest);
        } else if byte == b'_' || byte.is_ascii_alphanumeric() {
            let length =
                rest.iter().position(|b| *b != b'_' && !b.is_ascii_alphanumeric()).unwrap_or(rest.len());
            let word = &text[at..at + length];
            at += length;
            // A byte string's or C string's prefix.
            if !(matches!(word, "b" | "c") && bytes.get(at).is_some_and(|b| matches!(b, b'"' | b'\''))) {
                found.push(Token::Word(word.to_string()));
            }
        } else {
            if !byte.is_ascii_whitespace() && byte.is_ascii() {
                found.push(Token::Mark(byte as char));
            }
            at += 1;
        }
    }
    found
}

/// Length of a literal up to and with its closing mark.
fn quoted(rest: &[u8], close: u8) -> usize {
    let mut at = 0;
    while at < rest.len() && rest[at] != close {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

/// Length of `'a'`, `'\n'` or, of a lifetime, of its apostrophe.
fn character(rest: &[u8]) -> usize {
    match rest {
        [_, b'\\', ..] => 1 + quoted(&rest[1..], b'\''),
        [_, byte, b'\'', ..] if byte.is_ascii() => 3,
        [_, byte, ..] if !byte.is_ascii() => 1 + quoted(&rest[1..], b'\''),
        _ => 1,
    }
}

/// Length of a raw string at the start of `rest`, if there is one.
fn raw_string(rest: &[u8]) -> Option<usize> {
    let prefix = if rest.starts_with(b"br") { 2 } else { 1 };
    if !rest.starts_with(b"r") && prefix == 1 {
        return None;
    }
    let hashes = rest[prefix..].iter().take_while(|b| **b == b'#').count();
    if rest.get(prefix + hashes) != Some(&b'"') {
        return None;
    }
    let close: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
    let body = &rest[prefix + hashes + 1..];
    let end = body.windows(close.len()).position(|window| window == close)?;
    Some(prefix + hashes + 1 + end + close.len())
}
