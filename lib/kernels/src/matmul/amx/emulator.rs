//! Emulates AMX in tests on processors that lack it: a handler of SIGILL executes the six instructions that
//! [`super`] uses, as Intel's manual (volume 2) defines them, on tile registers of its own.

use std::cell::RefCell;
use std::sync::Once;
use std::sync::atomic::Ordering;

use libc::{
    REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15, REG_RAX, REG_RBP, REG_RBX, REG_RCX,
    REG_RDI, REG_RDX, REG_RIP, REG_RSI, REG_RSP,
};

use crate::isa::amx;

/// The general registers by their numbers in an instruction.
const REGISTERS: [libc::c_int; 16] = [
    REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI, REG_R8, REG_R9, REG_R10, REG_R11,
    REG_R12, REG_R13, REG_R14, REG_R15,
];

/// A tile register: 16 rows of 16 words.
type TileRegister = [[u32; 16]; 16];

struct TileState {
    configured: bool,
    tiles: [TileRegister; 8],
}

impl TileState {
    const NEW: TileState = TileState { configured: false, tiles: [[[0; 16]; 16]; 8] };
}

thread_local! {
    static STATE: RefCell<TileState> = const { RefCell::new(TileState::NEW) };
}

/// Installs the handler, unless the processor has AMX.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if amx::in_hardware() {
            return;
        }
        // SAFETY: a sigaction may be all zeros; the handler has the signature of SA_SIGINFO.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handle as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO;
            assert_eq!(libc::sigaction(libc::SIGILL, &action, std::ptr::null_mut()), 0);
        }
        amx::EMULATED.store(true, Ordering::Release);
    });
}

extern "C" fn handle(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes the context of the thread that raised the signal, and that thread's code is
    // readable.
    unsafe {
        let registers = &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs;
        let code = registers[REG_RIP as usize] as *const u8;
        match execute(registers, code) {
            Some(length) => registers[REG_RIP as usize] += length as i64,
            // Another instruction: the default action.
            None => {
                libc::signal(libc::SIGILL, libc::SIG_DFL);
            }
        }
    }
}

/// Executes the instruction at `code` and returns its length.
///
/// # Safety
/// `code` points to an instruction, and the memory that it reads and writes is valid.
unsafe fn execute(registers: &[i64], code: *const u8) -> Option<usize> {
    // SAFETY: an instruction that raised SIGILL is followed by more code; the addresses are those of the
    // instruction.
    unsafe {
        let byte = |i: usize| *code.add(i);
        // A three-byte VEX prefix with opcode map 0F38, 128 bits, W0.
        if byte(0) != 0xc4 || byte(1) & 0x1f != 2 || byte(2) & 0x84 != 0 {
            return None;
        }
        let (extend_x, extend_b) = (!byte(1) >> 6 & 1, !byte(1) >> 5 & 1);
        let (third, prefix) = ((!byte(2) >> 3 & 15) as usize, byte(2) & 3);
        let (opcode, modrm) = (byte(3), byte(4));
        let (mode, reg, rm) = (modrm >> 6, (modrm >> 3 & 7) as usize, (modrm & 7) as usize);
        STATE.with_borrow_mut(|state| {
            if mode == 3 {
                match (opcode, prefix, reg, rm) {
                    (0x49, 0, 0, 0) => state.configured = false,
                    (0x49, 3, _, 0) => state.tiles[reg] = [[0; 16]; 16],
                    (0x5c, 2, ..) => {
                        let (a, b) = (state.tiles[rm], state.tiles[third]);
                        multiply(&mut state.tiles[reg], &a, &b);
                    }
                    _ => return None,
                }
                assert!(state.configured || opcode == 0x49, "AMX without ldtilecfg");
                return Some(5);
            }
            // A memory operand: base, and for tiles the index, which is the stride.
            let (base, index, shift, after) = if rm == 4 {
                let sib = byte(5);
                let (base, index) = ((sib & 7) | extend_b << 3, (sib >> 3 & 7) | extend_x << 3);
                (base as usize, Some(index as usize).filter(|&i| i != 4), sib >> 6, 6)
            } else {
                (rm | (extend_b as usize) << 3, None, 0, 5)
            };
            let (displacement, length) = match mode {
                0 if base & 7 != 5 => (0, after),
                1 => (byte(after) as i8 as i64, after + 1),
                2 => (code.add(after).cast::<i32>().read_unaligned() as i64, after + 4),
                _ => return None,
            };
            let start = registers[REGISTERS[base] as usize] + displacement;
            let stride = index.map_or(0, |i| registers[REGISTERS[i] as usize] << shift);
            let row = |i: usize| (start + i as i64 * stride) as *mut [u32; 16];
            match (opcode, prefix) {
                (0x49, 0) => {
                    let config = &*(start as *const super::TileConfig);
                    let full = (0..8).all(|i| config.bytes_per_row[i] == 64 && config.rows[i] == 16);
                    assert!(config.palette == 1 && full, "the emulator has full tiles only");
                    (state.configured, state.tiles) = (true, [[[0; 16]; 16]; 8]);
                }
                (0x4b, 3) => (0..16).for_each(|i| state.tiles[reg][i] = row(i).read_unaligned()),
                (0x4b, 2) => (0..16).for_each(|i| row(i).write_unaligned(state.tiles[reg][i])),
                _ => return None,
            }
            assert!(state.configured, "AMX without ldtilecfg");
            Some(length)
        })
    }
}

/// TDPBF16PS: `c += a·b`, where a word of `a` is two elements of a row, a word of `b` two of a column.
fn multiply(c: &mut TileRegister, a: &TileRegister, b: &TileRegister) {
    let halves = |word: u32| [f32::from_bits(word << 16), f32::from_bits(word & 0xffff_0000)];
    for (c, a) in c.iter_mut().zip(a) {
        for (n, c) in c.iter_mut().enumerate() {
            let (mut even, mut odd) = (0.0, 0.0);
            for (a, b) in a.iter().zip(b) {
                let ([a0, a1], [b0, b1]) = (halves(*a), halves(b[n]));
                even += a0 * b0;
                odd += a1 * b1;
            }
            *c = (f32::from_bits(*c) + (even + odd)).to_bits();
        }
    }
}
