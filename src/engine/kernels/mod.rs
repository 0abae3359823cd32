//! Fused CPU kernels for what candle has none of, or only slow ones.
//!
//! All of them run on candle's own spinning thread pool, next to its quantized products, and read and
//! write plain slices. Results do not depend on how the work is divided among threads.

#![expect(
    unsafe_code,
    reason = "vector instructions, and threads that write disjoint parts of one slice"
)]

pub(super) mod attend;
pub(super) mod blocks;
pub(super) mod dense;
pub(super) mod element;
pub(super) mod heads;
pub(super) mod rows;
pub(super) mod simd;
pub(super) mod stream;
mod tile;

use std::cell::UnsafeCell;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Divides `items` among the threads of candle's pool, which `work` itself must not use.
///
/// A thread that asks for work takes a share of what is left: long runs first, which the memory prefetcher likes,
/// single items last, so that no thread waits long for another.
pub(super) fn parallel(items: usize, work: impl Fn(Range<usize>) + Sync) {
    let pool = candle_core::utils::barrier_pool();
    let threads = pool.n_workers() + 1;
    let taken = AtomicUsize::new(0);
    pool.execute(|_| {
        let take = |start| (start < items).then(|| start + share(items - start, threads));
        while let Ok(start) = taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            work(start..start + share(items - start, threads));
        }
    });
}

/// Items that one of `threads` takes at once of those that are left.
fn share(left: usize, threads: usize) -> usize {
    left.div_ceil(2 * threads)
}

/// A slice that several threads write at different places.
pub(super) struct SharedMut<'a, T>(&'a [UnsafeCell<T>]);

// SAFETY: access goes through `at` and `slice`, whose callers promise disjoint places.
unsafe impl<T: Send> Sync for SharedMut<'_, T> {}

impl<'a, T> SharedMut<'a, T> {
    /// Shares `slice` for the time of the borrow.
    pub(super) fn new(slice: &'a mut [T]) -> Self {
        // SAFETY: `UnsafeCell<T>` has the layout of `T`, and the exclusive borrow lasts as long.
        Self(unsafe { &*(std::ptr::from_mut(slice) as *const [UnsafeCell<T>]) })
    }

    /// The element at `index`.
    ///
    /// # Safety
    ///
    /// No other reference to this element exists meanwhile.
    #[expect(clippy::mut_from_ref, reason = "disjointness is the caller's promise")]
    #[inline(always)]
    unsafe fn at(&self, index: usize) -> &mut T {
        // SAFETY: the caller's promise.
        unsafe { &mut *self.0[index].get() }
    }

    /// The elements of `range`.
    ///
    /// # Safety
    ///
    /// No other reference to any of them exists meanwhile.
    #[expect(clippy::mut_from_ref, reason = "disjointness is the caller's promise")]
    #[inline(always)]
    unsafe fn slice(&self, range: Range<usize>) -> &mut [T] {
        let cells = &self.0[range];
        // SAFETY: the caller's promise; the cells lie next to each other.
        unsafe { std::slice::from_raw_parts_mut(cells.as_ptr() as *mut T, cells.len()) }
    }
}
