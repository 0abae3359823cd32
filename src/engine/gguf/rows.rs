//! The order of the rows of q and k: the llama architecture of GGUF rotates neighbours, the decoder and
//! checkpoints of Hugging Face rotate halves.

/// Puts the rows of each head from (0, 1, …, half, half + 1, …) to (0, half, 1, half + 1, …).
pub(crate) fn interleave_halves(bytes: &[u8], rows: usize, heads: usize) -> Vec<u8> {
    let row = bytes.len() / rows;
    let head = rows / heads;
    let half = head / 2;
    let mut interleaved = Vec::with_capacity(bytes.len());
    for first in (0..rows).step_by(head) {
        for pair in 0..half {
            for side in 0..2 {
                let from = (first + side * half + pair) * row;
                interleaved.extend_from_slice(&bytes[from..from + row]);
            }
        }
    }
    interleaved
}

/// Puts the rows of each head from (0, half, 1, half + 1, …) back to (0, 1, …, half, half + 1, …).
pub(crate) fn restore_halves(bytes: &[u8], rows: usize, heads: usize) -> Vec<u8> {
    let row = bytes.len() / rows;
    let head = rows / heads;
    let half = head / 2;
    let mut restored = Vec::with_capacity(bytes.len());
    for first in (0..rows).step_by(head) {
        for side in 0..2 {
            for pair in 0..half {
                let from = (first + 2 * pair + side) * row;
                restored.extend_from_slice(&bytes[from..from + row]);
            }
        }
    }
    restored
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restoring_undoes_interleaving() {
        // Two heads of four rows of three bytes.
        let rows: Vec<u8> = (0..24).collect();
        let interleaved = interleave_halves(&rows, 8, 2);
        assert_eq!(interleaved[..12], [0, 1, 2, 6, 7, 8, 3, 4, 5, 9, 10, 11]);
        assert_eq!(restore_halves(&interleaved, 8, 2), rows);
    }
}
