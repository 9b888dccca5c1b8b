//! The cache of scripts: found by their text or by their SHA-1. Those that only EVAL brought are forgotten when there are too
//! many, the one that wasn't used for longest first. The text of one that SCRIPT LOAD brought is kept compressed until EVAL
//! calls it: SCRIPT SHOW alone reads it.

use std::borrow::Cow;

use hashbrown::HashTable;

use super::api::sha1_hex;
use super::exchange::FunctionId;
use super::shebang::Flags;
use crate::base::hash::KeyHasher;
use crate::base::lzf;

/// Scripts of EVAL that are kept.
const MAX_EVALUATED: usize = 500;

/// The SHA-1 of a script, in lower-case hexadecimal digits.
pub type Sha1Hex = [u8; 40];

/// A script's text as it is kept.
#[derive(Debug)]
enum Text {
    /// It can be found by it.
    Plain(Box<[u8]>),
    /// By LZF, of `len` bytes.
    Compressed { lzf: Box<[u8]>, len: usize },
}

impl Text {
    /// Compresses a text, if that spares an eighth of it.
    fn compressed(text: &[u8]) -> Text {
        match lzf::compress(text, text.len() - text.len() / 8) {
            Some(lzf) => Text::Compressed { lzf: lzf.into(), len: text.len() },
            None => Text::Plain(text.into()),
        }
    }

    /// Bytes that it takes.
    fn bytes(&self) -> usize {
        match self {
            Text::Plain(bytes) | Text::Compressed { lzf: bytes, .. } => bytes.len(),
        }
    }

    fn read(&self) -> Cow<'_, [u8]> {
        match self {
            Text::Plain(text) => Cow::Borrowed(text),
            // What was compressed here decompresses.
            Text::Compressed { lzf, len } => Cow::Owned(lzf::decompress(lzf, *len).unwrap_or_default()),
        }
    }
}

/// A compiled script.
#[derive(Debug)]
pub struct Script {
    text: Text,
    pub sha1: Sha1Hex,
    pub flags: Flags,
    pub function: FunctionId,
    /// The count of uses when it was used last.
    used: u64,
    /// SCRIPT LOAD brought it: it stays.
    loaded: bool,
}

impl Script {
    pub fn text(&self) -> Cow<'_, [u8]> {
        self.text.read()
    }

    /// Whether its text is this one, as far as that is seen without decompressing it.
    fn is_plain(&self, wanted: &[u8]) -> bool {
        matches!(&self.text, Text::Plain(text) if **text == *wanted)
    }
}

/// See the module's description.
pub struct ScriptCache {
    scripts: Vec<Option<Script>>,
    free: Vec<usize>,
    /// Those whose texts aren't compressed.
    by_text: HashTable<usize>,
    by_sha1: HashTable<usize>,
    /// Those of EVAL.
    evaluated: Vec<usize>,
    hasher: KeyHasher,
    uses: u64,
    pub evicted: u64,
    /// Bytes of the texts as they are kept.
    text_bytes: usize,
}

impl ScriptCache {
    pub fn new(seed: u64) -> Self {
        ScriptCache {
            scripts: Vec::new(),
            free: Vec::new(),
            by_text: HashTable::new(),
            by_sha1: HashTable::new(),
            evaluated: Vec::new(),
            hasher: KeyHasher::new(seed),
            uses: 0,
            evicted: 0,
            text_bytes: 0,
        }
    }

    /// How many scripts there are.
    pub fn count(&self) -> usize {
        self.by_sha1.len()
    }

    /// Bytes that it takes without the interpreter's part.
    pub fn memory(&self) -> usize {
        self.text_bytes
            + self.scripts.capacity() * size_of::<Option<Script>>()
            + self.by_text.allocation_size()
            + self.by_sha1.allocation_size()
    }

    pub fn get(&self, index: usize) -> Option<&Script> {
        self.scripts.get(index).and_then(Option::as_ref)
    }

    fn has(&self, index: usize, wanted: impl Fn(&Script) -> bool) -> bool {
        self.get(index).is_some_and(wanted)
    }

    /// The script with a text.
    pub fn find_text(&self, text: &[u8]) -> Option<usize> {
        let hash = self.hasher.hash(text);
        match self.by_text.find(hash, |index| self.has(*index, |script| script.is_plain(text))) {
            Some(index) => Some(*index),
            None if self.by_text.len() < self.by_sha1.len() => self.find_sha1(&sha1_hex(text)),
            None => None,
        }
    }

    /// Has a script be found by its text without a SHA-1, as it is called so.
    pub fn expect_text(&mut self, index: usize) {
        let ScriptCache { scripts, by_text, hasher, text_bytes, .. } = self;
        let Some(Some(script)) = scripts.get_mut(index) else { return };
        let Text::Compressed { .. } = script.text else { return };
        let plain = Text::Plain(script.text().into());
        *text_bytes += plain.bytes() - script.text.bytes();
        script.text = plain;
        add_text(by_text, scripts, *hasher, index);
    }

    /// The script with a SHA-1, whose digits may be of either case.
    pub fn find_sha1(&self, sha1: &[u8]) -> Option<usize> {
        let mut sha1: Sha1Hex = sha1.try_into().ok()?;
        sha1.make_ascii_lowercase();
        let hash = self.hasher.hash(&sha1);
        self.by_sha1.find(hash, |index| self.has(*index, |script| script.sha1 == sha1)).copied()
    }

    /// Notes a use.
    pub fn touch(&mut self, index: usize) {
        self.uses += 1;
        if let Some(Some(script)) = self.scripts.get_mut(index) {
            script.used = self.uses;
        }
    }

    /// Adds a compiled script that isn't there. The function of one that had to go for it is to be released.
    pub fn add(
        &mut self,
        text: &[u8],
        flags: Flags,
        function: FunctionId,
        loaded: bool,
    ) -> (usize, Option<FunctionId>) {
        let gone = if !loaded && self.evaluated.len() >= MAX_EVALUATED { self.evict() } else { None };
        self.uses += 1;
        let sha1 = sha1_hex(text);
        let text = if loaded { Text::compressed(text) } else { Text::Plain(text.into()) };
        let script = Script { text, sha1, flags, function, used: self.uses, loaded };
        let sha1_hash = self.hasher.hash(&sha1);
        self.text_bytes += script.text.bytes();
        let index = match self.free.pop() {
            Some(index) => {
                self.scripts[index] = Some(script);
                index
            }
            None => {
                self.scripts.push(Some(script));
                self.scripts.len() - 1
            }
        };
        let ScriptCache { scripts, by_text, by_sha1, hasher, .. } = self;
        by_sha1.insert_unique(sha1_hash, index, |index| {
            scripts[*index].as_ref().map_or(0, |script| hasher.hash(&script.sha1))
        });
        add_text(by_text, scripts, *hasher, index);
        if !loaded {
            self.evaluated.push(index);
        }
        (index, gone)
    }

    /// Has a script stay that EVAL brought: SCRIPT LOAD names it.
    pub fn keep(&mut self, index: usize) {
        if let Some(Some(script)) = self.scripts.get_mut(index)
            && !std::mem::replace(&mut script.loaded, true)
        {
            self.evaluated.retain(|evaluated| *evaluated != index);
        }
    }

    /// Forgets the script of EVAL that wasn't used for longest.
    fn evict(&mut self) -> Option<FunctionId> {
        let used = |index: &usize| self.get(*index).map_or(0, |script| script.used);
        let (at, _) = self.evaluated.iter().enumerate().min_by_key(|(_, index)| used(index))?;
        let index = self.evaluated.swap_remove(at);
        let script = self.scripts[index].take()?;
        self.free.push(index);
        self.evicted += 1;
        self.text_bytes -= script.text.bytes();
        for (table, hash) in [
            (&mut self.by_text, self.hasher.hash(&script.text())),
            (&mut self.by_sha1, self.hasher.hash(&script.sha1)),
        ] {
            if let Ok(entry) = table.find_entry(hash, |found| *found == index) {
                entry.remove();
            }
        }
        Some(script.function)
    }

    /// Forgets all scripts; their functions go with their interpreter.
    pub fn clear(&mut self) {
        let (seed_hasher, evicted) = (self.hasher, self.evicted);
        *self = ScriptCache { hasher: seed_hasher, evicted, ..ScriptCache::new(0) };
    }
}

/// Adds a script to those that are found by their text, if its isn't compressed.
fn add_text(by_text: &mut HashTable<usize>, scripts: &[Option<Script>], hasher: KeyHasher, index: usize) {
    let hash = |index: &usize| match &scripts[*index] {
        Some(Script { text: Text::Plain(text), .. }) => Some(hasher.hash(text)),
        _ => None,
    };
    if let Some(own) = hash(&index) {
        by_text.insert_unique(own, index, |index| hash(index).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loaded_text_is_compressed_until_eval_calls_it() {
        let mut cache = ScriptCache::new(1);
        let text = b"return redis.call('get', KEYS[1]) ".repeat(30);
        let index = cache.add(&text, Flags::default(), FunctionId(1), true).0;
        assert!(cache.text_bytes < text.len() / 4, "{}", cache.text_bytes);
        assert_eq!(cache.get(index).expect("it is there").text(), &text[..]);
        assert_eq!((cache.find_text(&text), cache.find_text(b"return 1")), (Some(index), None));
        assert!(cache.by_text.is_empty());
        for _ in 0..2 {
            cache.expect_text(index);
            assert_eq!((cache.text_bytes, cache.by_text.len()), (text.len(), 1));
            assert_eq!(cache.find_text(&text), Some(index));
        }
        for number in 0..600 {
            add(&mut cache, number, false);
        }
        assert_eq!(cache.find_text(&text), Some(index));
    }

    fn add(cache: &mut ScriptCache, number: u32, loaded: bool) -> Option<FunctionId> {
        let text = number.to_string();
        cache.add(text.as_bytes(), Flags::default(), FunctionId(number), loaded).1
    }

    #[test]
    fn scripts_of_eval_go_when_there_are_too_many() {
        let mut cache = ScriptCache::new(1);
        assert_eq!(add(&mut cache, 100_000, true), None);
        for number in 0..500 {
            assert_eq!(add(&mut cache, number, false), None);
        }
        let first = cache.find_text(b"0").expect("it is there");
        cache.touch(first);
        cache.keep(cache.find_text(b"2").expect("it is there"));
        assert_eq!(add(&mut cache, 500, false), None);
        assert_eq!(add(&mut cache, 501, false), Some(FunctionId(1)));
        assert_eq!(add(&mut cache, 502, false), Some(FunctionId(3)));
        assert_eq!((cache.count(), cache.evicted), (502, 2));
        for (text, is_there) in [("0", true), ("1", false), ("2", true), ("3", false), ("100000", true)] {
            assert_eq!(cache.find_text(text.as_bytes()).is_some(), is_there, "{text}");
            let sha1 = sha1_hex(text.as_bytes()).to_ascii_uppercase();
            assert_eq!(cache.find_sha1(&sha1).is_some(), is_there, "{text}");
        }
        assert!(cache.find_sha1(b"12").is_none());
        cache.clear();
        assert_eq!((cache.count(), cache.evicted, cache.find_text(b"0")), (0, 2, None));
    }
}
