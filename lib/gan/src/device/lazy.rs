//! Loads CUDA's libraries on demand.
//!
//! candle links them, and a program does not start if a library that it is linked with is missing. So this
//! file defines the functions that candle calls, each as a jump to the library's function, and the linker
//! needs no library. Until [`load`] has found the libraries, each function returns "no device". The functions
//! are those that `nm -D --undefined-only` lists for the tools without this file. Any other function would be
//! linked as before; `just check-cuda` looks for such ones.

use std::arch::global_asm;
use std::env;
use std::ffi::{CString, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};

/// The result of a function while its library is not loaded: CUDA_ERROR_NO_DEVICE, cudaErrorNoDevice and
/// CURAND_STATUS_VERSION_MISMATCH are this number. cuBLAS has no such error, but is called only after the
/// driver.
extern "C" fn absent() -> i32 {
    100
}

macro_rules! forward {
    ($($list:ident: $($name:ident)*;)*) => {
        $($(#[allow(non_snake_case)]
        mod $name {
            use super::{AtomicPtr, absent, c_void, global_asm};
            pub(super) static PLACE: AtomicPtr<c_void> = AtomicPtr::new(absent as *mut c_void);
            global_asm!(
                concat!(".globl ", stringify!($name)),
                concat!(".type ", stringify!($name), ",@function"),
                concat!(stringify!($name), ": jmp qword ptr [rip + {place}]"),
                place = sym PLACE,
            );
        })*
        #[allow(dead_code)]
        const $list: &[(&str, &AtomicPtr<c_void>)] = &[$((stringify!($name), &$name::PLACE)),*];)*
    };
}

forward! {
    DRIVER:
        cuCtxDestroy_v2 cuCtxGetCurrent cuCtxSetCurrent cuCtxSynchronize cuDeviceGet cuDeviceGetAttribute
        cuDeviceGetDefaultMemPool cuDevicePrimaryCtxRelease_v2 cuDevicePrimaryCtxRetain cuDriverGetVersion
        cuEventCreate cuEventDestroy_v2 cuEventRecord cuGetErrorString cuInit cuLaunchKernel cuMemAllocAsync
        cuMemAlloc_v2 cuMemFreeAsync cuMemFree_v2 cuMemPoolSetAttribute cuMemcpyDtoDAsync_v2
        cuMemcpyDtoHAsync_v2 cuMemcpyHtoDAsync_v2 cuMemcpyPeerAsync cuMemsetD8Async cuModuleGetFunction
        cuModuleLoad cuModuleLoadData cuModuleUnload cuStreamCreate cuStreamDestroy_v2 cuStreamIsCapturing
        cuStreamSynchronize cuStreamWaitEvent;
    CUBLAS:
        cublasCreate_v2 cublasDestroy_v2 cublasDgemmStridedBatched cublasGemmStridedBatchedEx
        cublasSetStream_v2;
    CURAND:
        curandCreateGenerator curandDestroyGenerator curandSetPseudoRandomGeneratorSeed curandSetStream;
    // candle's quantized kernels call these. Nothing here uses the kernels, so the functions stay absent.
    RUNTIME:
        __cudaGetKernel __cudaLaunchKernel_ptsz __cudaPopCallConfiguration __cudaPushCallConfiguration
        __cudaRegisterFatBinary __cudaRegisterFatBinaryEnd __cudaRegisterFunction __cudaRegisterVar
        __cudaUnregisterFatBinary cudaFuncSetAttribute cudaGetDevice;
}

/// Loads the libraries for good.
///
/// # Errors
/// One line: a library is missing, or lacks a function.
pub(super) fn load(major: u32) -> Result<(), String> {
    let driver = open("libcuda.so.1").ok_or("NVIDIA's driver (libcuda.so.1) is not installed")?;
    find("libcuda.so.1", driver, DRIVER).map_err(|e| format!("{e}: the driver is too old"))?;
    let toolkit = |name: String, functions: &[_]| {
        let library = open(&name).ok_or(format!(
            "{name} is missing: install the CUDA toolkit {major}, or set LD_LIBRARY_PATH or CUDA_HOME"
        ))?;
        find(&name, library, functions)
    };
    // cuBLAS is linked with this one, from the same folder.
    toolkit(format!("libcublasLt.so.{major}"), &[])?;
    toolkit(format!("libcublas.so.{major}"), CUBLAS)?;
    toolkit("libcurand.so.10".into(), CURAND)
}

/// A library from the loader's folders or the toolkit's.
fn open(name: &str) -> Option<*mut c_void> {
    let homes = ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(|name| env::var(name).ok());
    let homes = homes.chain(["/usr/local/cuda", "/opt/cuda"].map(String::from));
    let folders = homes.flat_map(|home| ["lib64", "lib"].map(|lib| format!("{home}/{lib}/{name}")));
    std::iter::once(name.to_string()).chain(folders).find_map(|path| {
        let path = CString::new(path).ok()?;
        // SAFETY: the C string outlives the call. NVIDIA's libraries start no thread and change nothing at
        // loading.
        let library = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
        Some(library).filter(|library| !library.is_null())
    })
}

/// Finds the functions in a library.
fn find(name: &str, library: *mut c_void, functions: &[(&str, &AtomicPtr<c_void>)]) -> Result<(), String> {
    for (function, place) in functions {
        let symbol = CString::new(*function).expect("a name without a zero");
        // SAFETY: the library is open, and the C string outlives the call.
        let found = unsafe { libc::dlsym(library, symbol.as_ptr()) };
        if found.is_null() {
            return Err(format!("{name} has no {function}"));
        }
        place.store(found, Ordering::Release);
    }
    Ok(())
}
