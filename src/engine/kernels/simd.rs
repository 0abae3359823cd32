//! Vectors of the CPU that runs us: one kernel body, compiled for AVX-512, AVX2 and plain Rust.

#[cfg(target_arch = "x86_64")]
mod x86;

use std::sync::OnceLock;

use half::{bf16, f16};

/// Single-precision vectors of one instruction set.
///
/// # Safety
///
/// Every function requires that the CPU has the instruction set, and pointers that are valid for
/// `LANES` elements of their type, at any alignment.
pub(in crate::engine) trait Simd: Copy {
    /// One register.
    type Vector: Copy;
    /// Floats per register.
    const LANES: usize;
    /// Rows of the left operand that a dot-product tile of four columns keeps in registers.
    const TILE_ROWS: usize;

    unsafe fn splat(value: f32) -> Self::Vector;
    unsafe fn load(from: *const f32) -> Self::Vector;
    unsafe fn load_f16(from: *const f16) -> Self::Vector;
    unsafe fn load_bf16(from: *const bf16) -> Self::Vector;
    unsafe fn store(to: *mut f32, value: Self::Vector);
    unsafe fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    unsafe fn multiply(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    unsafe fn divide(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a * b + c`
    unsafe fn multiply_add(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    unsafe fn minimum(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    unsafe fn maximum(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// To the nearest integer, still as float.
    unsafe fn round(a: Self::Vector) -> Self::Vector;
    /// `a * 2^exponent` for an integral exponent within −126..=127.
    unsafe fn scale_by_power(a: Self::Vector, exponent: Self::Vector) -> Self::Vector;
    /// Sum of all lanes.
    unsafe fn sum(a: Self::Vector) -> f32;
    /// Largest lane.
    unsafe fn largest(a: Self::Vector) -> f32;

    /// `e^a` to about two units in the last place; underflows to zero below −87, saturates above 88.
    #[inline(always)]
    unsafe fn exp(a: Self::Vector) -> Self::Vector {
        // SAFETY: the caller vouches for the instruction set.
        unsafe {
            let a = Self::maximum(Self::minimum(a, Self::splat(88.0)), Self::splat(-87.0));
            let power = Self::round(Self::multiply(a, Self::splat(std::f32::consts::LOG2_E)));
            // ln 2 in two parts, so that `power * ln 2` is exact in the first.
            let rest = Self::multiply_add(power, Self::splat(-0.693_359_4), a);
            let rest = Self::multiply_add(power, Self::splat(2.121_944_4e-4), rest);
            // Taylor coefficients, adjusted on ±ln 2 / 2 (Cephes `expf`).
            let mut series = Self::splat(1.987_569_1e-4);
            for coefficient in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_66, 0.5] {
                series = Self::multiply_add(series, rest, Self::splat(coefficient));
            }
            let series = Self::multiply_add(Self::multiply(rest, rest), series, rest);
            Self::scale_by_power(Self::add(series, Self::splat(1.0)), power)
        }
    }
}

/// Work that is compiled once per instruction set. `run` must be `#[inline(always)]`, so that its body
/// is compiled with the instructions of the function it is inlined into.
pub(super) trait Kernel {
    /// What it computes.
    type Output;

    /// Does the work.
    ///
    /// # Safety
    ///
    /// The CPU has the instruction set `S`.
    unsafe fn run<S: Simd>(self) -> Self::Output;
}

/// Runs a kernel with the widest vectors of this CPU.
pub(super) fn vectorized<K: Kernel>(kernel: K) -> K::Output {
    match level() {
        // SAFETY: `level` has seen the features in CPUID.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => unsafe { x86::run_avx512(kernel) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { x86::run_avx2(kernel) },
        // SAFETY: plain Rust runs everywhere.
        Level::Portable => unsafe { kernel.run::<Portable>() },
    }
}

/// The instruction sets that kernels are compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// AVX-512 F.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// AVX2, FMA and F16C.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// Whatever the build target has.
    Portable,
}

/// The widest instruction set of this CPU.
pub(super) fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    *LEVEL.get_or_init(detect)
}

#[cfg(target_arch = "x86_64")]
fn detect() -> Level {
    let avx2 = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c");
    if avx2 && is_x86_feature_detected!("avx512f") {
        Level::Avx512
    } else if avx2 {
        Level::Avx2
    } else {
        Level::Portable
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn detect() -> Level {
    Level::Portable
}

/// Plain Rust over eight lanes, which compilers turn into the vectors of the build target.
#[derive(Debug, Clone, Copy)]
pub(super) struct Portable;

const PORTABLE_LANES: usize = 8;

#[inline(always)]
fn lanes(value: impl Fn(usize) -> f32) -> [f32; PORTABLE_LANES] {
    std::array::from_fn(value)
}

// SAFETY of the bodies: pointers are valid for eight elements by the trait's contract.
impl Simd for Portable {
    type Vector = [f32; PORTABLE_LANES];
    const LANES: usize = PORTABLE_LANES;
    const TILE_ROWS: usize = 2;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self::Vector {
        [value; PORTABLE_LANES]
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::Vector {
        lanes(|lane| unsafe { from.add(lane).read_unaligned() })
    }
    #[inline(always)]
    unsafe fn load_f16(from: *const f16) -> Self::Vector {
        lanes(|lane| unsafe { from.add(lane).read_unaligned() }.to_f32())
    }
    #[inline(always)]
    unsafe fn load_bf16(from: *const bf16) -> Self::Vector {
        lanes(|lane| unsafe { from.add(lane).read_unaligned() }.to_f32())
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, value: Self::Vector) {
        for (lane, value) in value.into_iter().enumerate() {
            unsafe { to.add(lane).write_unaligned(value) };
        }
    }
    #[inline(always)]
    unsafe fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        lanes(|lane| a[lane] + b[lane])
    }
    #[inline(always)]
    unsafe fn multiply(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        lanes(|lane| a[lane] * b[lane])
    }
    #[inline(always)]
    unsafe fn divide(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        lanes(|lane| a[lane] / b[lane])
    }
    #[inline(always)]
    unsafe fn multiply_add(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
        // Not `mul_add`: without the instruction that is a slow library call.
        lanes(|lane| a[lane] * b[lane] + c[lane])
    }
    #[inline(always)]
    unsafe fn minimum(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        lanes(|lane| a[lane].min(b[lane]))
    }
    #[inline(always)]
    unsafe fn maximum(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        lanes(|lane| a[lane].max(b[lane]))
    }
    #[inline(always)]
    unsafe fn round(a: Self::Vector) -> Self::Vector {
        lanes(|lane| a[lane].round_ties_even())
    }
    #[inline(always)]
    unsafe fn scale_by_power(a: Self::Vector, exponent: Self::Vector) -> Self::Vector {
        lanes(|lane| {
            a[lane] * f32::from_bits(((exponent[lane] as i32 + 127) << 23).cast_unsigned())
        })
    }
    #[inline(always)]
    unsafe fn sum(a: Self::Vector) -> f32 {
        a.into_iter().sum()
    }
    #[inline(always)]
    unsafe fn largest(a: Self::Vector) -> f32 {
        a.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }
}
