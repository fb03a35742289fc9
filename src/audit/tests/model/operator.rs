//! Actions of an operator and of logrotate on the files of an audit trail.

use std::path::{Path, PathBuf};

use super::random::Random;
use super::world::{Running, World};
use crate::audit::reading::{Identity, identity_of};
use crate::audit::trail_files;
use crate::audit::writing::path_beside;

impl World {
    /// Renames the newest file, as logrotate does, and sometimes creates an empty one in its place.
    pub fn rename(&mut self, random: &mut Random) {
        if !self.settings.path.exists() {
            return;
        }
        self.next_name += 1;
        let name = format!("audit.jsonl.{}", self.next_name);
        let to = self.directory.path().join(name);
        self.disk.rename_by_operator(&self.settings.path, &to);
        if random.percent(30) {
            std::fs::write(&self.settings.path, "").unwrap();
            self.disk.keep(&self.settings.path);
            self.disk.sync_by_operator();
        }
        *self.seals.lock().unwrap() = random.percent(60);
    }

    /// Returns whether the position file contains the last line, also after a power failure. Without it, a start needs every file.
    fn has_position(&self) -> bool {
        let position = path_beside(&self.settings.path);
        let is_failing = self
            .running
            .as_ref()
            .is_none_or(|r| r.writer.file.position.is_failing);
        if !is_failing {
            self.disk.keep(&position);
        }
        !is_failing
    }

    /// Returns a file that the writer does not use any more.
    fn old_file(&mut self, random: &mut Random) -> Option<PathBuf> {
        let current = self.running().writer.file.open.identity;
        let files = trail_files(&self.settings.path).unwrap();
        let is_old = |path: &PathBuf| *path != self.settings.path && identity(path) != current;
        let files: Vec<_> = files.into_iter().filter(is_old).collect();
        files.get(random.index(files.len())).cloned()
    }

    pub fn compress(&mut self, random: &mut Random) {
        if let Some(file) = self.old_file(random) {
            if let Some(compressed) = compress(&file) {
                self.disk.keep(&compressed);
            }
            self.disk.sync_by_operator();
        }
    }

    /// Moves a file to another place.
    pub fn archive(&mut self, random: &mut Random) {
        match self.old_file(random) {
            Some(file) if self.has_position() => self.move_away(&file),
            _ => {}
        }
    }

    fn move_away(&mut self, file: &Path) {
        self.next_name += 1;
        let extension = file.extension().filter(|e| *e == "gz" || *e == "zst");
        let mut to = self.archived().join(format!("{}.x", self.next_name));
        if let Some(extension) = extension {
            to.set_extension(extension);
        }
        std::fs::rename(file, to).unwrap();
        self.disk.sync_by_operator();
    }

    pub fn archived(&self) -> PathBuf {
        self.directory.path().join("archive")
    }

    /// Deletes the current file. A copy of its acknowledged lines goes to the archive.
    pub fn delete(&mut self) {
        let Running { writer, .. } = self.running.as_ref().unwrap();
        let (current, length) = (writer.file.open.identity, writer.file.open.length);
        let path = self.settings.path.clone();
        if !path.exists() || identity(&path) != current || !self.has_position() {
            return;
        }
        let lines = std::fs::read(&path).unwrap();
        let length = usize::try_from(length).unwrap();
        self.next_name += 1;
        let copy = self.archived().join(format!("{}.deleted", self.next_name));
        std::fs::write(copy, &lines[..length]).unwrap();
        std::fs::remove_file(path).unwrap();
        self.disk.sync_by_operator();
    }
}

fn identity(path: &Path) -> Identity {
    identity_of(&path.metadata().unwrap())
}

/// Compresses a file, as logrotate does.
fn compress(file: &Path) -> Option<PathBuf> {
    use std::io::Write as _;
    if file.extension().is_some_and(|e| e == "gz" || e == "zst") {
        return None;
    }
    let lines = std::fs::read(file).unwrap();
    let name = file.display();
    let (compressed, to) = match lines.len() % 2 {
        0 => {
            let level = ruzstd::encoding::CompressionLevel::Fastest;
            let compressed = ruzstd::encoding::compress_to_vec(&*lines, level);
            (compressed, format!("{name}.zst"))
        }
        _ => {
            let level = flate2::Compression::fast();
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(&lines).unwrap();
            (encoder.finish().unwrap(), format!("{name}.gz"))
        }
    };
    std::fs::write(&to, compressed).unwrap();
    std::fs::remove_file(file).unwrap();
    Some(to.into())
}
