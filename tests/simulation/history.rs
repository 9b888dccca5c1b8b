//! What primaries had: the digest of their data at each offset of each history.
//!
//! ```text
//! replid a   0 ──────── 500 ──── 620
//! replid b               └─ 500 ────────── 900      (promoted at 500 of a)
//! ```

use std::collections::BTreeMap;

use redloop::engine::Engine;

/// The data of one replication id.
#[derive(Debug, Default)]
struct Line {
    /// The history that it goes on from, and the offset up to which that is its own.
    parent: Option<(String, u64)>,
    digests: BTreeMap<u64, Vec<u8>>,
}

/// See the head of this file.
#[derive(Debug, Default)]
pub struct History {
    lines: BTreeMap<String, Line>,
    pub recorded: u64,
    pub compared: u64,
}

/// Where an engine is: its history and offset.
pub fn place(engine: &Engine) -> (String, u64) {
    (engine.replication.identity.replid.clone(), engine.backlog().end())
}

impl History {
    /// A primary has this data at its offset. The error says that it had other data there.
    pub fn record(&mut self, engine: &Engine, digest: Vec<u8>) -> Result<(), String> {
        let (replid, offset) = place(engine);
        let identity = &engine.replication.identity;
        let line = self.lines.entry(replid.clone()).or_insert_with(|| {
            let fork = u64::try_from(identity.second_offset()).ok();
            Line {
                parent: fork.map(|fork| (identity.replid2(), fork.saturating_sub(1))),
                digests: BTreeMap::new(),
            }
        });
        self.recorded += 1;
        match line.digests.insert(offset, digest.clone()) {
            Some(other) if other != digest => {
                Err(format!("the primary's data has changed, but not its offset {offset} of {replid}"))
            }
            _ => Ok(()),
        }
    }

    /// A replica has this data at its offset. The error says that its primary never had that.
    pub fn compare(&mut self, engine: &Engine, digest: &[u8]) -> Result<(), String> {
        let (replid, offset) = place(engine);
        if !self.lines.contains_key(&replid) {
            // It has lost its data, or waits for its first.
            return Ok(());
        }
        self.compared += 1;
        match self.digest_at(&replid, offset) {
            Some(known) if known == digest => Ok(()),
            Some(_) => Err(format!("a replica has other data than its primary at offset {offset} of {replid}")),
            None => Err(format!("a replica is at offset {offset} of {replid}, where its primary never was")),
        }
    }

    fn digest_at(&self, replid: &str, offset: u64) -> Option<&[u8]> {
        let line = self.lines.get(replid)?;
        if let Some(digest) = line.digests.get(&offset) {
            return Some(digest);
        }
        let (parent, fork) = line.parent.as_ref()?;
        if offset <= *fork { self.digest_at(parent, offset) } else { None }
    }
}
