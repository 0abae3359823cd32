//! The numbers of a tensor in the CPU's memory, as a slice that kernels can read.

use std::ops::Deref;

use candle_core::{CpuStorage, Result, Storage, Tensor};

/// The numbers of a contiguous single-precision tensor in the CPU's memory, under candle's lock `G`.
pub(super) struct Floats<G> {
    storage: G,
    start: usize,
    end: usize,
}

/// Borrows the numbers of `tensor`.
pub(super) fn floats(tensor: &Tensor) -> Result<Floats<impl Deref<Target = Storage> + '_>> {
    let (storage, layout) = tensor.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(CpuStorage::F32(_)), Some((start, end))) => Ok(Floats {
            storage,
            start,
            end,
        }),
        _ => candle_core::bail!(
            "a kernel needs contiguous f32 on the CPU, not {:?} {layout:?}",
            tensor.dtype(),
        ),
    }
}

impl<G: Deref<Target = Storage>> Deref for Floats<G> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &*self.storage {
            Storage::Cpu(CpuStorage::F32(values)) => &values[self.start..self.end],
            // `floats` has seen the type, and the lock keeps the storage as it is.
            _ => &[],
        }
    }
}
