//! The instruction sets that the kernels are compiled for: AVX2, and AVX2 with VNNI on top.

use std::arch::x86_64::*;
use std::sync::OnceLock;

use super::product::{Format, Place, write};
use super::rounded::Rounded;
use crate::engine::kernels::SharedMut;

/// Products of bytes, in vectors of 256 bits.
pub(super) trait Instructions {
    /// Rows of activations that share one unpacking of weights: what the registers hold.
    const TILE_ROWS: usize;

    /// `sums + Σ weights · quants · scales`: unsigned and signed bytes, in pairs that share a scale.
    ///
    /// # Safety
    ///
    /// The CPU has the instructions.
    unsafe fn add_scaled(
        sums: __m256i,
        weights: __m256i,
        quants: __m256i,
        scales: __m256i,
    ) -> __m256i;

    /// Products of unsigned and signed bytes, summed by fours.
    ///
    /// # Safety
    ///
    /// The CPU has the instructions.
    unsafe fn fours(weights: __m256i, quants: __m256i) -> __m256i;

    /// Writes the products of `R` rows of activations with rows of weights.
    ///
    /// # Safety
    ///
    /// The CPU has the instructions; for the rest see [`write()`].
    unsafe fn write<F: Format, const R: usize>(
        weights: &[u8],
        x: &Rounded,
        place: Place,
        y: &SharedMut<'_, f32>,
    );
}

/// AVX2, FMA and F16C.
pub(super) struct Avx2;

impl Instructions for Avx2 {
    const TILE_ROWS: usize = 4;

    #[inline(always)]
    unsafe fn add_scaled(
        sums: __m256i,
        weights: __m256i,
        quants: __m256i,
        scales: __m256i,
    ) -> __m256i {
        // SAFETY: the caller vouches for the instructions.
        unsafe {
            let pairs = _mm256_maddubs_epi16(weights, quants);
            _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, scales))
        }
    }

    #[inline(always)]
    unsafe fn fours(weights: __m256i, quants: __m256i) -> __m256i {
        // SAFETY: the caller vouches for the instructions.
        unsafe {
            let pairs = _mm256_maddubs_epi16(weights, quants);
            _mm256_madd_epi16(pairs, _mm256_set1_epi16(1))
        }
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn write<F: Format, const R: usize>(
        weights: &[u8],
        x: &Rounded,
        place: Place,
        y: &SharedMut<'_, f32>,
    ) {
        // SAFETY: the caller's promise is the same.
        unsafe { write::<Self, F, R>(weights, x, place, y) }
    }
}

/// AVX2, FMA and F16C with VNNI and the 32 registers of AVX-512 VL.
pub(super) struct Vnni;

impl Vnni {
    /// Whether this CPU has it.
    pub(super) fn is_here() -> bool {
        static HERE: OnceLock<bool> = OnceLock::new();
        *HERE.get_or_init(|| {
            is_x86_feature_detected!("avx512vnni") && is_x86_feature_detected!("avx512vl")
        })
    }
}

impl Instructions for Vnni {
    const TILE_ROWS: usize = 8;

    #[inline(always)]
    unsafe fn add_scaled(
        sums: __m256i,
        weights: __m256i,
        quants: __m256i,
        scales: __m256i,
    ) -> __m256i {
        // SAFETY: the caller vouches for the instructions.
        unsafe { _mm256_dpwssd_epi32(sums, _mm256_maddubs_epi16(weights, quants), scales) }
    }

    #[inline(always)]
    unsafe fn fours(weights: __m256i, quants: __m256i) -> __m256i {
        // SAFETY: the caller vouches for the instructions.
        unsafe { _mm256_dpbusd_epi32(_mm256_setzero_si256(), weights, quants) }
    }

    #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512vl,avx512vnni")]
    unsafe fn write<F: Format, const R: usize>(
        weights: &[u8],
        x: &Rounded,
        place: Place,
        y: &SharedMut<'_, f32>,
    ) {
        // SAFETY: the caller's promise is the same.
        unsafe { write::<Self, F, R>(weights, x, place, y) }
    }
}
