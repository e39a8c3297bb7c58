//! The device to compute on, by name.

#[cfg(all(feature = "cuda", target_os = "linux", target_arch = "x86_64"))]
mod lazy;

pub use candle_core::Device;

use crate::{Error, Result};

/// A device, and why it is not a GPU.
#[derive(Debug)]
pub struct DeviceChoice {
    /// Where to compute.
    pub device: Device,
    /// Why a build for GPUs computes on the CPU.
    pub notice: Option<String>,
}

/// Checks the environment variable `GANTOOLS_ISA`, the best instruction set that CPU kernels may use.
///
/// # Errors
/// Its value is not the name of one.
pub fn check_instruction_set() -> Result<()> {
    gan_kernels::isa::limit().map(drop).map_err(Error::Invalid)
}

/// The device `cpu`, `cuda` or `cuda:N`; without a name, the first GPU if there is one, else the CPU.
///
/// # Errors
/// There is no such device: another name, a build without CUDA, no such GPU, a driver that is too old, or a
/// GPU that this build has no kernels for.
pub fn choose(name: Option<&str>) -> Result<DeviceChoice> {
    let named = |device| Ok(DeviceChoice { device, notice: None });
    let Some(name) = name else {
        let cpu = |notice| Ok(DeviceChoice { device: Device::Cpu, notice });
        return match cfg!(feature = "cuda").then(|| gpu(0)) {
            None => cpu(None),
            Some(Ok(device)) => named(device),
            Some(Err(why)) => cpu(Some(format!("computing on the CPU: {why}"))),
        };
    };
    let refuse = |what: &str| Error::argument("device", format!("{name}: {what}"));
    let number = match name.strip_prefix("cuda") {
        None if name == "cpu" => return named(Device::Cpu),
        Some("") => Some(0),
        Some(rest) => rest.strip_prefix(':').and_then(|n| n.parse().ok()),
        None => None,
    };
    let number = number.ok_or_else(|| refuse("not a device; use cpu, cuda or cuda:N"))?;
    if !cfg!(feature = "cuda") {
        return Err(refuse("this build has no CUDA; build with `--features cuda`, or use cpu"));
    }
    named(gpu(number).map_err(|why| refuse(&format!("{why}; cpu needs no GPU")))?)
}

/// Runs `work` on `device` while candle keeps its descriptions of layouts there. Each strided operand of an
/// operation needs one, and without this each operation copies it to the device. `work` must not copy other
/// data to the device.
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
    unreachable!("only builds with CUDA have GPUs")
}

/// GPU `number`, or in one line why there is none.
#[cfg(feature = "cuda")]
fn gpu(number: usize) -> Result<Device, String> {
    use candle_core::cuda_backend::cudarc::driver::sys;
    use candle_core::{DType, Tensor};

    // The quoted part of `DriverError(CUDA_ERROR_NO_DEVICE, "no CUDA-capable device is detected")`.
    let line = |e: candle_core::Error| {
        let all = e.to_string();
        let first = all.lines().next().unwrap_or_default();
        first.split('"').nth(1).unwrap_or(first).to_string()
    };
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    lazy::load(sys::CUDA_VERSION / 1000)?;
    let mut driver = 0;
    // SAFETY: the driver writes one number to the pointer; this may be its first call.
    let answer = unsafe { sys::cuDriverGetVersion(&mut driver) };
    let version = |n: i32| format!("{}.{}", n / 1000, n % 1000 / 10);
    let needed = sys::CUDA_VERSION as i32;
    if answer == sys::CUresult::CUDA_SUCCESS && (1..needed).contains(&driver) {
        let (has, needs) = (version(driver), version(needed));
        return Err(format!(
            "NVIDIA's driver supports CUDA {has}, and this build needs {needs}: update the driver"
        ));
    }
    // One stream for all threads, so that the work of one thread is done before later work of another.
    // candle's default device has a stream for each thread, in no order.
    let device = Device::new_cuda_with_stream(number).map_err(|e| format!("no such GPU: {}", line(e)))?;
    let cuda = device.as_cuda_device().map_err(line)?;
    // SAFETY: there is one stream, so no stream has to wait for another.
    unsafe { cuda.disable_event_tracking() };
    keep_memory(number);
    let computes = || Tensor::zeros(1, DType::F32, &device)?.affine(1.0, 1.0)?.to_vec1::<f32>();
    match computes() {
        Ok(one) if one == [1.0] => Ok(device),
        Ok(other) => Err(format!("the GPU computes 0 + 1 = {other:?}")),
        Err(e) => Err(format!(
            "this build has no kernels for it: {}; build with its CUDA_COMPUTE_CAP, such as 75 or 86",
            line(e)
        )),
    }
}

/// Makes GPU `number` keep freed memory; without this it returns it whenever a number is read. The buffers of
/// each step, or chunk of images, are the same. A GPU without a memory pool keeps nothing.
#[cfg(feature = "cuda")]
fn keep_memory(number: usize) {
    use candle_core::cuda_backend::cudarc::driver::sys::{self, CUmemPool_attribute, CUresult::CUDA_SUCCESS};

    let (mut gpu, mut pool, mut all) = (0, std::ptr::null_mut(), u64::MAX);
    // SAFETY: the driver is initialized; each call reads or writes the given variable, which has the right
    // type.
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
            assert_eq!(line, format!("device: {bad}: not a device; use cpu, cuda or cuda:N"));
        }
        if !cfg!(feature = "cuda") {
            let line = choose(Some("cuda:1")).unwrap_err().to_string();
            assert!(line.starts_with("device: cuda:1: this build has no CUDA"), "{line}");
            let best = choose(None).unwrap();
            assert!(best.device.is_cpu() && best.notice.is_none());
        }
    }
}
