//! What primaries had: the digest of their data at each offset of each history.
//!
//! ```text
//! replid a   0 ──────── 500 ──── 620
//! replid b               └─ 500 ────────── 900      (promoted at 500 of a)
//! ```

use std::collections::BTreeMap;

use redloop::engine::Engine;

use crate::snapshot::{self, Snapshot};

/// The data at a place: a digest, and if that is wanted all of it.
#[derive(Clone, Debug)]
pub struct Data {
    pub digest: Vec<u8>,
    pub whole: Option<Snapshot>,
}

impl Data {
    fn differs(&self, other: &Data) -> Option<String> {
        let difference = match (&self.whole, &other.whole) {
            (Some(whole), Some(other)) => snapshot::difference(whole, other),
            _ => None,
        };
        (self.digest != other.digest).then(|| difference.unwrap_or_default())
    }
}

/// The data of one replication id.
#[derive(Debug, Default)]
struct Line {
    /// The history that it goes on from, and the offset up to which that is its own.
    parent: Option<(String, u64)>,
    data: BTreeMap<u64, Data>,
    /// The highest offset that a primary was seen at.
    end: u64,
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

/// Whether the data is looked at where the offset is this one: at some of them, the same for all nodes, since it takes most of the time.
pub fn is_chosen(offset: u64) -> bool {
    (offset ^ offset >> 4).is_multiple_of(3)
}

impl History {
    /// A primary has this data at its offset, if that is one of the chosen. The error says that it had other data there.
    pub fn record(&mut self, engine: &Engine, data: Option<Data>) -> Result<(), String> {
        let (replid, offset) = place(engine);
        let identity = &engine.replication.identity;
        let line = self.lines.entry(replid.clone()).or_insert_with(|| {
            let fork = u64::try_from(identity.second_offset()).ok();
            let parent = fork.map(|fork| (identity.replid2(), fork.saturating_sub(1)));
            Line { parent, data: BTreeMap::new(), end: 0 }
        });
        line.end = line.end.max(offset);
        let Some(data) = data else { return Ok(()) };
        self.recorded += 1;
        let difference = line.data.get(&offset).and_then(|other| other.differs(&data));
        line.data.insert(offset, data);
        let text = |difference| format!("a primary has changed at offset {offset} of {replid}\n{difference}");
        difference.map_or(Ok(()), |difference| Err(text(difference)))
    }

    /// A replica has this data at its offset. The error says that its primary never had that.
    pub fn compare(&mut self, engine: &Engine, data: Option<&Data>) -> Result<(), String> {
        let (replid, offset) = place(engine);
        if !self.lines.contains_key(&replid) {
            // It has lost its data, or waits for its first.
            return Ok(());
        }
        if self.lines[&replid].end < offset {
            return Err(format!("a replica is at offset {offset} of {replid}, where its primary never was"));
        }
        let Some(data) = data else { return Ok(()) };
        // A primary that is busy with its own jobs isn't looked at after each.
        let Some(known) = self.data_at(&replid, offset) else { return Ok(()) };
        if let Some(difference) = known.differs(data) {
            return Err(format!(
                "a replica differs from its primary at offset {offset} of {replid}\n{difference}"
            ));
        }
        self.compared += 1;
        Ok(())
    }

    fn data_at(&self, replid: &str, offset: u64) -> Option<&Data> {
        let line = self.lines.get(replid)?;
        if let Some(data) = line.data.get(&offset) {
            return Some(data);
        }
        let (parent, fork) = line.parent.as_ref()?;
        if offset <= *fork { self.data_at(parent, offset) } else { None }
    }
}
