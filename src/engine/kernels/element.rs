//! The floating-point types in which weights and cached keys and values are held.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use super::simd::Simd;

/// A stored number that is widened to single precision in a register.
pub(in crate::engine) trait Element:
    Copy + Default + Send + Sync + 'static
{
    /// The same number in single precision.
    fn widened(self) -> f32;

    /// Writes the nearest numbers of this type.
    fn narrow(from: &[f32], to: &mut [Self]);

    /// The next `S::LANES` numbers, widened.
    ///
    /// # Safety
    ///
    /// The CPU has `S`, and `from` is valid for `S::LANES` elements.
    unsafe fn load<S: Simd>(from: *const Self) -> S::Vector;
}

impl Element for f32 {
    #[inline(always)]
    fn widened(self) -> f32 {
        self
    }
    fn narrow(from: &[f32], to: &mut [Self]) {
        to.copy_from_slice(from);
    }
    #[inline(always)]
    unsafe fn load<S: Simd>(from: *const Self) -> S::Vector {
        // SAFETY: the caller's promise is the same.
        unsafe { S::load(from) }
    }
}

impl Element for f16 {
    #[inline(always)]
    fn widened(self) -> f32 {
        self.to_f32()
    }
    fn narrow(from: &[f32], to: &mut [Self]) {
        to.convert_from_f32_slice(from);
    }
    #[inline(always)]
    unsafe fn load<S: Simd>(from: *const Self) -> S::Vector {
        // SAFETY: the caller's promise is the same.
        unsafe { S::load_f16(from) }
    }
}

impl Element for bf16 {
    #[inline(always)]
    fn widened(self) -> f32 {
        self.to_f32()
    }
    fn narrow(from: &[f32], to: &mut [Self]) {
        to.convert_from_f32_slice(from);
    }
    #[inline(always)]
    unsafe fn load<S: Simd>(from: *const Self) -> S::Vector {
        // SAFETY: the caller's promise is the same.
        unsafe { S::load_bf16(from) }
    }
}
