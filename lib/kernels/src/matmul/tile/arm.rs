//! Tiles with NEON.

use std::arch::aarch64::*;
use std::arch::asm;

use super::{Multiply, Pair, Registers, Single, Tile, store_rounded, tile, tiles};

struct Neon;

/// Rows of a tile with NEON: 24 of the 32 registers of sums, four of columns, one broadcast.
pub(in crate::matmul) const NEON_ROWS: usize = 6;

impl Registers for Neon {
    type Sums = float32x4_t;
    type Words = uint32x4_t;
    const LANES: usize = 4;
    #[inline(always)]
    unsafe fn zero() -> float32x4_t {
        vdupq_n_f32(0.0)
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> float32x4_t {
        vld1q_f32(from)
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, sums: float32x4_t) {
        vst1q_f32(to, sums);
    }
    #[inline(always)]
    unsafe fn words(from: *const u32) -> uint32x4_t {
        vld1q_u32(from)
    }
    #[inline(always)]
    unsafe fn splat(from: *const u32) -> uint32x4_t {
        vld1q_dup_u32(from)
    }
    #[inline(always)]
    unsafe fn finish(sums: float32x4_t, bias: float32x4_t, slope: f32) -> float32x4_t {
        let v = vaddq_f32(sums, bias);
        vbslq_f32(vcgtq_f32(v, vdupq_n_f32(0.0)), v, vmulq_n_f32(v, slope))
    }
    #[inline(always)]
    unsafe fn store_bf16(to: *mut u16, sums: float32x4_t) {
        store_rounded(to, std::mem::transmute::<float32x4_t, [f32; 4]>(sums));
    }
}

impl Multiply<Neon> for Single {
    #[inline(always)]
    unsafe fn multiply_add(sums: float32x4_t, a: uint32x4_t, b: uint32x4_t) -> float32x4_t {
        vfmaq_f32(sums, vreinterpretq_f32_u32(a), vreinterpretq_f32_u32(b))
    }
}

impl Multiply<Neon> for Pair {
    #[inline(always)]
    unsafe fn multiply_add(mut sums: float32x4_t, a: uint32x4_t, b: uint32x4_t) -> float32x4_t {
        // The intrinsic is not stable.
        asm!(
            ".arch_extension bf16",
            "bfdot {sums:v}.4s, {a:v}.8h, {b:v}.8h",
            sums = inout(vreg) sums,
            a = in(vreg) a,
            b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
        sums
    }
}

tiles! {
    /// A tile of f32 with NEON.
    #[target_feature(enable = "neon")]
    neon_f32, Neon, Single, [1 2 3 4 5 6] [16]
}
tiles! {
    /// A tile of bf16 with the dot products of FEAT_BF16.
    #[target_feature(enable = "neon,bf16")]
    neon_bf16, Neon, Pair, [1 2 3 4 5 6] [16]
}
