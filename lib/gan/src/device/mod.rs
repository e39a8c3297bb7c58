//! The device that tensors are on, by the name that `--device` takes.

#[cfg(all(feature = "cuda", target_os = "linux", target_arch = "x86_64"))]
mod lazy;

pub use candle_core::Device;

use crate::{Error, Result};

/// A device, and what is to be said of how it came to be that one.
#[derive(Debug)]
pub struct Chosen {
    /// Where to compute.
    pub device: Device,
    /// Why it is not the GPU that this build is made for.
    pub notice: Option<String>,
}

/// The device called `cpu`, `cuda` or `cuda:N`; without a name the best one that is built in and present.
///
/// # Errors
/// Another name; and of a named GPU: a build without CUDA, no such GPU, a driver too old, or a GPU that this build has no
/// kernels for.
pub fn choose(name: Option<&str>) -> Result<Chosen> {
    let named = |device| Ok(Chosen { device, notice: None });
    let Some(name) = name else {
        return match cfg!(feature = "cuda").then(|| gpu(0)) {
            None => named(Device::Cpu),
            Some(Ok(device)) => named(device),
            Some(Err(why)) => {
                let notice = Some(format!("computing on the CPU: {why}"));
                Ok(Chosen { device: Device::Cpu, notice })
            }
        };
    };
    let refuse = |what: &str| Error::Invalid(format!("--device {name}: {what}"));
    let number = match name.strip_prefix("cuda") {
        None if name == "cpu" => return named(Device::Cpu),
        Some("") => Some(0),
        Some(rest) => rest.strip_prefix(':').and_then(|n| n.parse().ok()),
        None => None,
    };
    let number = number.ok_or_else(|| refuse("not a device; there are `cpu`, `cuda` and `cuda:N`"))?;
    if !cfg!(feature = "cuda") {
        return Err(refuse("this build has no CUDA: build with `--features cuda`, or use `--device cpu`"));
    }
    named(gpu(number).map_err(|why| refuse(&format!("{why}; `--device cpu` needs none")))?)
}

/// Does what computes on `device` with candle's descriptions of layouts kept there: each strided operand of an operation
/// needs one, which would be copied to the device anew each time. `work` may send no data of its own there.
pub fn with_layouts_kept<T>(device: &Device, work: impl FnOnce() -> T) -> T {
    #[cfg(feature = "cuda")]
    let _kept = match device {
        Device::Cuda(cuda) => Some(cuda.enable_cuda_graph_htod_cache()),
        _ => None,
    };
    #[cfg(not(feature = "cuda"))]
    let _ = device;
    work()
}

#[cfg(not(feature = "cuda"))]
fn gpu(_: usize) -> Result<Device, String> {
    unreachable!("asked of a build with CUDA alone")
}

/// GPU `number`, or why there is none, in one line.
#[cfg(feature = "cuda")]
fn gpu(number: usize) -> Result<Device, String> {
    use candle_core::cuda_backend::cudarc::driver::sys;
    use candle_core::{DType, Tensor};

    // Of `DriverError(CUDA_ERROR_NO_DEVICE, "no CUDA-capable device is detected")` what is quoted.
    let line = |e: candle_core::Error| {
        let all = e.to_string();
        let first = all.lines().next().unwrap_or_default();
        first.split('"').nth(1).unwrap_or(first).to_string()
    };
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    lazy::load(sys::CUDA_VERSION / 1000)?;
    let mut driver = 0;
    // SAFETY: the driver writes one number to where the pointer points; it may be asked before anything else.
    let answer = unsafe { sys::cuDriverGetVersion(&mut driver) };
    let version = |n: i32| format!("{}.{}", n / 1000, n % 1000 / 10);
    let needed = sys::CUDA_VERSION as i32;
    if answer == sys::CUresult::CUDA_SUCCESS && (1..needed).contains(&driver) {
        return Err(format!(
            "NVIDIA's driver is of CUDA {}, and this build needs {}: update the driver",
            version(driver),
            version(needed)
        ));
    }
    // One stream for all threads: what one of them has sent is done before what another sends later. candle's usual device has
    // one for each thread, in no order.
    let device = Device::new_cuda_with_stream(number).map_err(|e| format!("no such GPU: {}", line(e)))?;
    let cuda = device.as_cuda_device().map_err(line)?;
    // SAFETY: there is one stream, so nothing has to wait for another.
    unsafe { cuda.disable_event_tracking() };
    keep_memory(number);
    let computes = || Tensor::zeros(1, DType::F32, &device)?.affine(1.0, 1.0)?.to_vec1::<f32>();
    match computes() {
        Ok(one) if one == [1.0] => Ok(device),
        Ok(other) => Err(format!("the GPU counts 0 + 1 as {other:?}")),
        Err(e) => Err(format!(
            "this build's kernels do not run on it: {} (build with CUDA_COMPUTE_CAP set to the GPU's, such as 75 or 86)",
            line(e)
        )),
    }
}

/// Has GPU `number` keep the memory that tensors give back, where it would return it whenever a number is read: the buffers of a
/// step, or of a portion of images, are the same from one to the next. A GPU that has no such pool keeps nothing.
#[cfg(feature = "cuda")]
fn keep_memory(number: usize) {
    use candle_core::cuda_backend::cudarc::driver::sys::{self, CUmemPool_attribute, CUresult::CUDA_SUCCESS};

    let (mut gpu, mut pool, mut all) = (0, std::ptr::null_mut(), u64::MAX);
    // SAFETY: the driver is in use; each call writes to or reads from the variable that it is given, of its type.
    unsafe {
        if sys::cuDeviceGet(&mut gpu, number as i32) == CUDA_SUCCESS
            && sys::cuDeviceGetDefaultMemPool(&mut pool, gpu) == CUDA_SUCCESS
        {
            let threshold = CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
            let _ = sys::cuMemPoolSetAttribute(pool, threshold, (&raw mut all).cast());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert!(choose(Some("cpu")).unwrap().device.is_cpu());
        for bad in ["", "gpu", "CPU", "cuda:", "cuda:x", "cuda0", "cpu:0"] {
            let line = choose(Some(bad)).unwrap_err().to_string();
            assert!(line.starts_with(&format!("--device {bad}: not a device")), "{line}");
        }
        if !cfg!(feature = "cuda") {
            let line = choose(Some("cuda:1")).unwrap_err().to_string();
            assert!(line.contains("this build has no CUDA"), "{line}");
            let best = choose(None).unwrap();
            assert!(best.device.is_cpu() && best.notice.is_none());
        }
    }
}
