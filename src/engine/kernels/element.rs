//! The floating-point types in which weights and cached keys and values are held.

use half::{bf16, f16};

use super::simd::Simd;

/// A stored number that is widened to single precision in a register.
pub(in crate::engine) trait Element:
    Copy + Default + Send + Sync + 'static
{
    /// The same number in single precision.
    fn widened(self) -> f32;

    /// The nearest number of this type.
    fn narrowed(value: f32) -> Self;

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
    #[inline(always)]
    fn narrowed(value: f32) -> Self {
        value
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
    #[inline(always)]
    fn narrowed(value: f32) -> Self {
        Self::from_f32(value)
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
    #[inline(always)]
    fn narrowed(value: f32) -> Self {
        Self::from_f32(value)
    }
    #[inline(always)]
    unsafe fn load<S: Simd>(from: *const Self) -> S::Vector {
        // SAFETY: the caller's promise is the same.
        unsafe { S::load_bf16(from) }
    }
}
