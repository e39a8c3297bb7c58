//! Drawn faces.
use super::{Part, Raw};
use crate::Result;
use crate::picture::Picture;
use std::path::PathBuf;
use std::time::SystemTime;
pub(super) struct Demo {
    pub(super) count: usize,
    pub(super) seed: u64,
}
impl Part for Demo {
    fn len(&self) -> usize {
        self.count
    }
    fn name(&self, i: usize) -> String {
        format!("{i:06}")
    }
    fn full_name(&self, i: usize) -> String {
        format!("demo/{i:06}")
    }
    fn read(&self, _i: usize) -> Result<Raw> {
        Ok(Raw::Pixels(Picture { width: 178, height: 218, rgb: vec![0; 178 * 218 * 3] }))
    }
    fn version(&self, _: usize) -> Result<(String, Option<SystemTime>)> {
        Ok((self.seed.to_string(), None))
    }
    fn home(&self) -> Option<PathBuf> {
        None
    }
}
