//! The product on AMX: tile registers of 16 rows of 64 bytes, two by two of them as sums.
#![expect(unsafe_op_in_unsafe_fn, reason = "every unsafe function here has the one condition of `Tile`")]

#[cfg(all(test, target_os = "linux"))]
pub(crate) mod emulator;

use std::arch::asm;

use super::A_STRIDE;
use super::tile::{LhsLayout, Tile};

/// Words of the inner dimension that one instruction takes; blocks are padded with zeros to a multiple of it.
pub(super) const STEP: usize = 16;

/// The operand of `ldtilecfg` (Intel's manual, volume 1, 18.3): palette 1, eight registers of 16 rows of 64
/// bytes.
#[repr(C, align(64))]
struct TileConfig {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    bytes_per_row: [u16; 16],
    rows: [u8; 16],
}

static CONFIG: TileConfig = {
    let (mut bytes_per_row, mut rows) = ([0; 16], [0; 16]);
    let mut i = 0;
    while i < 8 {
        (bytes_per_row[i], rows[i]) = (64, 16);
        i += 1;
    }
    TileConfig { palette: 1, start_row: 0, reserved: [0; 14], bytes_per_row, rows }
};

/// Configures this thread's tile registers until [`release`]. In between nothing else may use them.
///
/// # Safety
/// AMX is supported.
pub(super) unsafe fn configure() {
    asm!("ldtilecfg [{}]", in(reg) &CONFIG, options(nostack, readonly));
}

/// Releases the tile registers, so that the system need not save them.
///
/// # Safety
/// AMX is supported.
pub(super) unsafe fn release() {
    asm!("tilerelease", options(nostack, nomem));
}

/// Products of zeros in registers, as in [`wide`]; returns the number of operations.
///
/// # Safety
/// AMX is supported.
pub(super) unsafe fn burst() -> usize {
    const ROUNDS: usize = 1000;
    configure();
    asm!(
        "tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3",
        "tilezero tmm4", "tilezero tmm5", "tilezero tmm6", "tilezero tmm7",
        "2:",
        "tdpbf16ps tmm0, tmm4, tmm6",
        "tdpbf16ps tmm1, tmm4, tmm7",
        "tdpbf16ps tmm2, tmm5, tmm6",
        "tdpbf16ps tmm3, tmm5, tmm7",
        "dec {rounds}",
        "jnz 2b",
        rounds = inout(reg) ROUNDS => _,
        out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
        out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
        options(nostack, nomem),
    );
    release();
    // 16×16 sums of 32 multiply-adds each.
    ROUNDS * 4 * 16 * 16 * 32 * 2
}

/// A tile of 32 rows, regardless of `rows`, and 16 or 32 columns; `k` is a multiple of [`STEP`].
///
/// # Safety
/// AMX is supported and this thread called [`configure`]; `a`, a block, and `c` have 32 rows.
pub(super) unsafe fn bf16(t: &Tile) {
    debug_assert!(t.k.is_multiple_of(STEP));
    let LhsLayout::Block(a) = t.a else { unreachable!("AMX takes blocks only") };
    if t.columns == 32 { wide(t, a) } else { narrow(t, a) }
}

/// Declares a tile product: sums in registers 0 to 3, `a` in 4 and 5, `b` in 6 and 7. It is one block of
/// assembly, so that the compiler never has to keep a tile register: it does not know them.
macro_rules! tile_product {
    (
        $(#[$doc:meta])* $name:ident,
        [$($zero:literal)*], [$($load:literal)*], [$($multiply:literal)*], [$($store:literal)*]
    ) => {
        $(#[$doc])*
        unsafe fn $name(t: &Tile, a: *const u32) {
            asm!(
                "test {add}, {add}",
                "jnz 2f",
                $($zero,)*
                "jmp 3f",
                "2:",
                $($load,)*
                "3:",
                "test {k}, {k}",
                "jz 5f",
                "4:",
                $($multiply,)*
                "add {a0}, 64",
                "add {a1}, 64",
                "add {b}, {b_step}",
                "dec {k}",
                "jnz 4b",
                "5:",
                $($store,)*
                add = in(reg) t.add as u64,
                k = inout(reg) t.k / STEP => _,
                a0 = inout(reg) a => _,
                a1 = inout(reg) a.add(16 * A_STRIDE) => _,
                a_row = in(reg) A_STRIDE * 4,
                b = inout(reg) t.b => _,
                b_row = in(reg) t.b_stride * 4,
                b_step = in(reg) t.b_stride * 4 * STEP,
                c0 = in(reg) t.c,
                c1 = in(reg) t.c.add(16 * t.stride),
                c_row = in(reg) t.stride * 4,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            );
        }
    };
}

tile_product! {
    /// A tile of 32 columns.
    wide,
    ["tilezero tmm0" "tilezero tmm1" "tilezero tmm2" "tilezero tmm3"],
    [
        "tileloadd tmm0, [{c0} + {c_row}*1]"
        "tileloadd tmm1, [{c0} + {c_row}*1 + 64]"
        "tileloadd tmm2, [{c1} + {c_row}*1]"
        "tileloadd tmm3, [{c1} + {c_row}*1 + 64]"
    ],
    [
        "tileloadd tmm4, [{a0} + {a_row}*1]"
        "tileloadd tmm6, [{b} + {b_row}*1]"
        "tileloadd tmm7, [{b} + {b_row}*1 + 64]"
        "tdpbf16ps tmm0, tmm4, tmm6"
        "tileloadd tmm5, [{a1} + {a_row}*1]"
        "tdpbf16ps tmm1, tmm4, tmm7"
        "tdpbf16ps tmm2, tmm5, tmm6"
        "tdpbf16ps tmm3, tmm5, tmm7"
    ],
    [
        "tilestored [{c0} + {c_row}*1], tmm0"
        "tilestored [{c0} + {c_row}*1 + 64], tmm1"
        "tilestored [{c1} + {c_row}*1], tmm2"
        "tilestored [{c1} + {c_row}*1 + 64], tmm3"
    ]
}

tile_product! {
    /// A tile of 16 columns.
    narrow,
    ["tilezero tmm0" "tilezero tmm2"],
    ["tileloadd tmm0, [{c0} + {c_row}*1]" "tileloadd tmm2, [{c1} + {c_row}*1]"],
    [
        "tileloadd tmm4, [{a0} + {a_row}*1]"
        "tileloadd tmm6, [{b} + {b_row}*1]"
        "tdpbf16ps tmm0, tmm4, tmm6"
        "tileloadd tmm5, [{a1} + {a_row}*1]"
        "tdpbf16ps tmm2, tmm5, tmm6"
    ],
    ["tilestored [{c0} + {c_row}*1], tmm0" "tilestored [{c1} + {c_row}*1], tmm2"]
}
