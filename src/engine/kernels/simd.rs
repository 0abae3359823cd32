//! Vectors of the CPU that runs us: one kernel body, compiled for AVX-512, AVX2 and plain Rust.

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

#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    //! The instruction sets of x86-64.

    use std::arch::x86_64::*;

    use half::{bf16, f16};

    use super::{Kernel, Simd};

    /// # Safety
    ///
    /// The CPU has AVX-512 F, AVX2, FMA and F16C.
    #[target_feature(enable = "avx512f,avx2,fma,f16c")]
    pub(super) unsafe fn run_avx512<K: Kernel>(kernel: K) -> K::Output {
        // SAFETY: the caller vouches for the features.
        unsafe { kernel.run::<Avx512>() }
    }

    /// # Safety
    ///
    /// The CPU has AVX2, FMA and F16C.
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) unsafe fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
        // SAFETY: the caller vouches for the features.
        unsafe { kernel.run::<Avx2>() }
    }

    /// 256-bit vectors with fused multiply-add.
    #[derive(Debug, Clone, Copy)]
    pub(in crate::engine::kernels) struct Avx2;

    // SAFETY of the bodies: features and pointers are the caller's promise by the trait's contract.
    impl Simd for Avx2 {
        type Vector = __m256;
        const LANES: usize = 8;
        const TILE_ROWS: usize = 3;

        #[inline(always)]
        unsafe fn splat(value: f32) -> __m256 {
            unsafe { _mm256_set1_ps(value) }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> __m256 {
            unsafe { _mm256_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn load_f16(from: *const f16) -> __m256 {
            unsafe { _mm256_cvtph_ps(_mm_loadu_si128(from.cast())) }
        }
        #[inline(always)]
        unsafe fn load_bf16(from: *const bf16) -> __m256 {
            unsafe {
                let halves = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()));
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(halves))
            }
        }
        #[inline(always)]
        unsafe fn store(to: *mut f32, value: __m256) {
            unsafe { _mm256_storeu_ps(to, value) }
        }
        #[inline(always)]
        unsafe fn add(a: __m256, b: __m256) -> __m256 {
            unsafe { _mm256_add_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn multiply(a: __m256, b: __m256) -> __m256 {
            unsafe { _mm256_mul_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn divide(a: __m256, b: __m256) -> __m256 {
            unsafe { _mm256_div_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn multiply_add(a: __m256, b: __m256, c: __m256) -> __m256 {
            unsafe { _mm256_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        unsafe fn minimum(a: __m256, b: __m256) -> __m256 {
            unsafe { _mm256_min_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn maximum(a: __m256, b: __m256) -> __m256 {
            unsafe { _mm256_max_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn round(a: __m256) -> __m256 {
            unsafe { _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
        }
        #[inline(always)]
        unsafe fn scale_by_power(a: __m256, exponent: __m256) -> __m256 {
            unsafe {
                let biased = _mm256_add_epi32(_mm256_cvtps_epi32(exponent), _mm256_set1_epi32(127));
                _mm256_mul_ps(a, _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased)))
            }
        }
        #[inline(always)]
        unsafe fn sum(a: __m256) -> f32 {
            unsafe {
                let four = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
                let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
                _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
            }
        }
        #[inline(always)]
        unsafe fn largest(a: __m256) -> f32 {
            unsafe {
                let four = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
                let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
                _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
            }
        }
    }

    /// 512-bit vectors.
    #[derive(Debug, Clone, Copy)]
    pub(in crate::engine::kernels) struct Avx512;

    // SAFETY of the bodies: features and pointers are the caller's promise by the trait's contract.
    impl Simd for Avx512 {
        type Vector = __m512;
        const LANES: usize = 16;
        const TILE_ROWS: usize = 6;

        #[inline(always)]
        unsafe fn splat(value: f32) -> __m512 {
            unsafe { _mm512_set1_ps(value) }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> __m512 {
            unsafe { _mm512_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn load_f16(from: *const f16) -> __m512 {
            unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) }
        }
        #[inline(always)]
        unsafe fn load_bf16(from: *const bf16) -> __m512 {
            unsafe {
                let halves = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
                _mm512_castsi512_ps(_mm512_slli_epi32::<16>(halves))
            }
        }
        #[inline(always)]
        unsafe fn store(to: *mut f32, value: __m512) {
            unsafe { _mm512_storeu_ps(to, value) }
        }
        #[inline(always)]
        unsafe fn add(a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_add_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn multiply(a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_mul_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn divide(a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_div_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn multiply_add(a: __m512, b: __m512, c: __m512) -> __m512 {
            unsafe { _mm512_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        unsafe fn minimum(a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_min_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn maximum(a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_max_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn round(a: __m512) -> __m512 {
            unsafe { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
        }
        #[inline(always)]
        unsafe fn scale_by_power(a: __m512, exponent: __m512) -> __m512 {
            unsafe { _mm512_scalef_ps(a, exponent) }
        }
        #[inline(always)]
        unsafe fn sum(a: __m512) -> f32 {
            unsafe { _mm512_reduce_add_ps(a) }
        }
        #[inline(always)]
        unsafe fn largest(a: __m512) -> f32 {
            unsafe { _mm512_reduce_max_ps(a) }
        }
    }
}
