//! The device that tensors are on, by the name that `--device` takes.

pub use candle_core::Device;

use crate::{Error, Result};

/// The device called `cpu`, `cuda` or `cuda:N`.
///
/// # Errors
/// Another name, a build without CUDA, or no such GPU.
pub fn parse(name: &str) -> Result<Device> {
    let refuse = |what: &str| Error::Invalid(format!("--device {name}: {what}"));
    let number = match name.strip_prefix("cuda") {
        None if name == "cpu" => return Ok(Device::Cpu),
        Some("") => Some(0),
        Some(rest) => rest.strip_prefix(':').and_then(|n| n.parse().ok()),
        None => None,
    };
    let number = number.ok_or_else(|| refuse("not a device; there are `cpu`, `cuda` and `cuda:N`"))?;
    if !cfg!(feature = "cuda") {
        return Err(refuse("this build has no CUDA: build with `--features cuda`, or use `--device cpu`"));
    }
    Device::new_cuda(number)
        .map_err(|e| refuse(&format!("no such GPU: {}", e.to_string().lines().next().unwrap_or_default())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert!(parse("cpu").unwrap().is_cpu());
        for bad in ["", "gpu", "CPU", "cuda:", "cuda:x", "cuda0", "cpu:0"] {
            let line = parse(bad).unwrap_err().to_string();
            assert!(line.starts_with(&format!("--device {bad}: not a device")), "{line}");
        }
        if !cfg!(feature = "cuda") {
            let line = parse("cuda:1").unwrap_err().to_string();
            assert!(line.contains("this build has no CUDA"), "{line}");
        }
    }
}
