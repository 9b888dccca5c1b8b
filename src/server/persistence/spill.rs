//! A temporary file for parts of a snapshot that have to wait: beside the snapshot's own, without a name once it is open.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::services::persist::snapshot::Extent;
use crate::sys::disk::{Disk, DiskFile, Mode};

/// Bytes that are read at a time.
const READ: u64 = 64 * 1024;

/// See the head of this file. It is opened when something is put into it.
pub struct Spill {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    open: Option<OpenSpill>,
}

struct OpenSpill {
    writer: Box<dyn DiskFile>,
    reader: Box<dyn DiskFile>,
    /// Bytes in the file, and how many of them are still wanted.
    len: u64,
    wanted: u64,
}

impl Spill {
    /// `path`: the file's name while it is opened.
    pub fn new(disk: Arc<dyn Disk>, path: PathBuf) -> Spill {
        Spill { disk, path, open: None }
    }

    /// Keeps these bytes.
    pub fn put(&mut self, bytes: &[u8]) -> io::Result<Extent> {
        let open = match &mut self.open {
            Some(open) => open,
            empty => empty.insert(OpenSpill::create(&*self.disk, &self.path)?),
        };
        open.put(bytes)
    }

    /// Reads an extent's next bytes into `bytes` and takes them off it; they are not wanted any more.
    pub fn take(&mut self, extent: &mut Extent, bytes: &mut Vec<u8>) -> io::Result<()> {
        let open = self.open.as_mut().ok_or(io::ErrorKind::UnexpectedEof)?;
        open.take(extent, bytes)
    }

    /// The file's name while it is opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    #[cfg(test)]
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }
}

impl OpenSpill {
    /// The file is gone with the process, whatever becomes of it.
    fn create(disk: &dyn Disk, path: &Path) -> io::Result<OpenSpill> {
        let writer = disk.open(path, Mode::Create)?;
        let reader = disk.open(path, Mode::Read);
        let removed = disk.remove(path);
        let reader = reader?;
        removed?;
        Ok(OpenSpill { writer, reader, len: 0, wanted: 0 })
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<Extent> {
        let extent = Extent { offset: self.len, len: bytes.len() as u64 };
        self.writer.write_all(bytes)?;
        self.len += extent.len;
        self.wanted += extent.len;
        Ok(extent)
    }

    fn take(&mut self, extent: &mut Extent, bytes: &mut Vec<u8>) -> io::Result<()> {
        bytes.resize(extent.len.min(READ) as usize, 0);
        let read = loop {
            match self.reader.read_at(bytes, extent.offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        if read == 0 && extent.len > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.truncate(read);
        extent.offset += read as u64;
        extent.len -= read as u64;
        self.wanted -= read as u64;
        if self.wanted == 0 {
            self.writer.truncate(0)?;
            self.len = 0;
        }
        Ok(())
    }
}
