// SPDX-License-Identifier: GPL-2.0
//! Global settings of the kernel, as files below /proc/sys and /sys, that are put back afterwards.
//!
//! A process that is killed can't put anything back. So values are chosen that do no harm if they
//! stay.

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

use crate::unsupported::Unsupported;

/// A setting that was changed. It is what it was before when this is dropped.
#[derive(Debug)]
pub struct Knob {
    path: PathBuf,
    before: String,
}

fn read(path: &Path) -> Result<String, Unsupported> {
    let text = fs::read_to_string(path).map_err(|e| Unsupported::new(path.display(), e))?;
    Ok(chosen(&text).to_owned())
}

fn write(path: &Path, value: &str) -> Result<(), Unsupported> {
    fs::write(path, value).map_err(|e| {
        let what = format!("writing `{value}` to {}", path.display());
        Unsupported::new(what, e)
    })
}

/// The value itself, or the word in brackets where the file names all words there are.
fn chosen(text: &str) -> &str {
    let word = || {
        text.split_once('[')?
            .1
            .split_once(']')
            .map(|(word, _)| word)
    };
    word().unwrap_or(text.trim())
}

impl Knob {
    /// Sets it.
    pub fn set(path: impl Into<PathBuf>, value: impl Display) -> Result<Knob, Unsupported> {
        let path = path.into();
        let before = read(&path)?;
        let knob = Knob { path, before };
        knob.change(value)?;
        Ok(knob)
    }

    /// Sets it to something else; what will be put back stays the same.
    pub fn change(&self, value: impl Display) -> Result<(), Unsupported> {
        let value = value.to_string();
        if read(&self.path)? == value {
            return Ok(());
        }
        write(&self.path, &value)
    }

    /// What it was before.
    pub fn before(&self) -> &str {
        &self.before
    }
}

impl Drop for Knob {
    fn drop(&mut self) {
        if read(&self.path).is_ok_and(|now| now == self.before) {
            return;
        }
        // A setting that can't be put back is a nuisance to whoever comes next, no failure of this.
        let _stays = write(&self.path, &self.before);
    }
}

/// Several settings of one directory, put back in the reverse order.
#[derive(Debug)]
pub struct Knobs(Vec<Knob>);

impl Knobs {
    /// Sets the files of a directory, in this order. Either all or none are set afterwards.
    pub fn set(dir: &str, values: &[(&str, u64)]) -> Result<Knobs, Unsupported> {
        let mut knobs = Knobs(Vec::new());
        for (name, value) in values {
            knobs.0.push(Knob::set(Path::new(dir).join(name), value)?);
        }
        Ok(knobs)
    }
}

impl Drop for Knobs {
    fn drop(&mut self) {
        while self.0.pop().is_some() {}
    }
}

/// Reads a number out of a file.
pub fn number(path: impl AsRef<Path>) -> Result<u64, Unsupported> {
    let path = path.as_ref();
    let text = read(path)?;
    text.parse()
        .map_err(|_| Unsupported::new(path.display(), format!("`{text}` is no number")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_in_brackets_is_the_value() {
        assert_eq!(chosen("always [madvise] never\n"), "madvise");
        assert_eq!(chosen("10000\n"), "10000");
    }

    #[test]
    fn what_was_set_is_put_back() {
        let dir = std::env::temp_dir().join(format!("guplab-knob-{}", std::process::id()));
        fs::create_dir(&dir).expect("a directory");
        for name in ["a", "b"] {
            fs::write(dir.join(name), "1\n").expect("written");
        }
        let read = |name| fs::read_to_string(dir.join(name)).expect("readable");
        let path = dir.to_str().expect("UTF-8");

        let knobs = Knobs::set(path, &[("a", 2), ("b", 3)]).expect("set");
        assert_eq!((read("a").as_str(), read("b").as_str()), ("2", "3"));
        drop(knobs);
        assert_eq!((read("a").as_str(), read("b").as_str()), ("1", "1"));

        let missing = Knobs::set(path, &[("a", 2), ("c", 3)]).expect_err("there is no c");
        assert!(missing.what.ends_with("/c"), "{missing}");
        assert_eq!(read("a"), "1");
        fs::remove_dir_all(&dir).expect("removed");
    }
}
