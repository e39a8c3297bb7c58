//! CUDA's libraries, loaded when a GPU is asked for.
//!
//! candle links them, and a program that is linked with a library that is not there does not start. So the functions that
//! candle calls are defined here, each as a jump to where its library has it, and the linker needs no library for them. Until
//! [`load`] has found the libraries each function answers "no device". The list is what `nm -D --undefined-only` tells of the
//! tools without this file; what it lacks would be linked as before, which `just check-cuda` looks for.

use std::arch::global_asm;
use std::env;
use std::ffi::{CString, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};

/// What a function answers whose library is not loaded: CUDA_ERROR_NO_DEVICE, cudaErrorNoDevice and
/// CURAND_STATUS_VERSION_MISMATCH are this number. cuBLAS, which has no error of it, is asked after the driver alone.
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
    // Of candle's quantized kernels, which are not used here: they stay absent.
    RUNTIME:
        __cudaGetKernel __cudaLaunchKernel_ptsz __cudaPopCallConfiguration __cudaPushCallConfiguration
        __cudaRegisterFatBinary __cudaRegisterFatBinaryEnd __cudaRegisterFunction __cudaRegisterVar
        __cudaUnregisterFatBinary cudaFuncSetAttribute cudaGetDevice;
}

/// Loads the libraries, which stay loaded.
///
/// # Errors
/// One is not there, or lacks a function; in one line.
pub(super) fn load(major: u32) -> Result<(), String> {
    let driver = open("libcuda.so.1").ok_or("NVIDIA's driver (libcuda.so.1) is not installed")?;
    find("libcuda.so.1", driver, DRIVER).map_err(|e| format!("{e}: the driver is too old"))?;
    let toolkit = |name: String, functions: &[_]| {
        let library = open(&name).ok_or(format!(
            "{name} is not found: install CUDA's toolkit {major}, or set LD_LIBRARY_PATH or CUDA_HOME to where it is"
        ))?;
        find(&name, library, functions)
    };
    // What cuBLAS is linked with, from the same folder.
    toolkit(format!("libcublasLt.so.{major}"), &[])?;
    toolkit(format!("libcublas.so.{major}"), CUBLAS)?;
    toolkit("libcurand.so.10".into(), CURAND)
}

/// A library where the loader looks, or in the toolkit's folder.
fn open(name: &str) -> Option<*mut c_void> {
    let homes = ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(|name| env::var(name).ok());
    let homes = homes.chain(["/usr/local/cuda", "/opt/cuda"].map(String::from));
    let folders = homes.flat_map(|home| ["lib64", "lib"].map(|lib| format!("{home}/{lib}/{name}")));
    std::iter::once(name.to_string()).chain(folders).find_map(|path| {
        let path = CString::new(path).ok()?;
        // SAFETY: a C string that lives past the call. NVIDIA's libraries start no thread and change nothing when they are loaded.
        let library = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
        Some(library).filter(|library| !library.is_null())
    })
}

/// Looks the functions up.
fn find(name: &str, library: *mut c_void, functions: &[(&str, &AtomicPtr<c_void>)]) -> Result<(), String> {
    for (function, place) in functions {
        let symbol = CString::new(*function).expect("a name has no zero");
        // SAFETY: an open library and a C string that lives past the call.
        let found = unsafe { libc::dlsym(library, symbol.as_ptr()) };
        if found.is_null() {
            return Err(format!("{name} has no {function}"));
        }
        place.store(found, Ordering::Release);
    }
    Ok(())
}
