//! Recognising a card from what its driver says.

use std::sync::OnceLock;

use super::book::GpuCard;
use super::rows::GpuRow;
use super::{GPUS, bundled_file};

/// The bundled card whose device this is; `None` for a slice of a card or one that is not known.
///
/// ```
/// let card = mtok::catalog::gpus::recognise("NVIDIA H100 80GB HBM3", 85_520_809_984).unwrap();
/// assert_eq!(card.id, "h100-sxm");
/// ```
pub fn recognise(device_name: &str, memory_bytes: u64) -> Option<&'static GpuCard> {
    let name = plain(device_name);
    known()
        .iter()
        .find(|(row, _)| is_whole(row, &name, memory_bytes))
        .map(|(_, card)| card)
}

/// The bundled cards, as the file has them and as the rest uses them.
pub(super) fn known() -> &'static [(GpuRow, GpuCard)] {
    static CARDS: OnceLock<Vec<(GpuRow, GpuCard)>> = OnceLock::new();
    CARDS.get_or_init(|| {
        let rows = bundled_file(GPUS).gpus;
        rows.into_iter()
            .map(|row| (row.clone(), GpuCard::from(&row)))
            .collect()
    })
}

/// Whether a device of this plain name and memory is the whole card.
fn is_whole(row: &GpuRow, name: &str, memory_bytes: u64) -> bool {
    let full = (row.memory_mib << 20) as f64;
    // A driver keeps a part for itself and CUDA reports what is left; a slice has far less.
    (0.85..=1.05).contains(&(memory_bytes as f64 / full))
        && row.device_names.iter().any(|known| plain(known) == name)
}

/// A device name in lower case, without the maker and with one sort of separator.
fn plain(name: &str) -> String {
    let name = name.trim().to_lowercase();
    let name = name.strip_prefix("nvidia ").unwrap_or(&name);
    name.split(|c: char| c == '-' || c == '_' || c.is_whitespace())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, memory_mib: u64, id: Option<&str>) {
        let card = recognise(name, memory_mib << 20);
        assert_eq!(card.map(|card| card.id.as_str()), id, "{name}");
    }

    #[test]
    fn drivers_names_give_their_card() {
        check("NVIDIA A100-SXM4-40GB", 40_339, Some("a100-40gb-sxm"));
        check("A100-SXM4-80GB", 81_920, Some("a100-80gb-sxm"));
        check("NVIDIA A100-SXM4-80GB", 81_050, Some("a100-80gb-sxm"));
        check("NVIDIA A100 80GB PCIe", 81_920, Some("a100-80gb-pcie"));
        check("NVIDIA H100 80GB HBM3", 81_008, Some("h100-sxm"));
        check("NVIDIA H100 PCIe", 81_559, Some("h100-pcie"));
        check("NVIDIA H200", 143_771, Some("h200-sxm"));
        check("NVIDIA B200", 183_359, Some("b200-sxm"));
        check("NVIDIA L4", 22_563, Some("l4"));
        check("NVIDIA L40S", 45_458, Some("l40s"));
        check("NVIDIA A10G", 22_503, Some("a10g"));
        check("NVIDIA GeForce RTX 4090", 24_217, Some("rtx-4090"));
        check("AMD Instinct MI300X", 196_592, Some("mi300x"));
    }

    #[test]
    fn slices_relatives_and_strangers_are_not_taken_for_a_card() {
        check("NVIDIA H100 80GB HBM3 MIG 1g.10gb", 9_856, None);
        check("NVIDIA H100 80GB HBM3", 9_856, None);
        check("NVIDIA H100 NVL", 95_830, None);
        check("NVIDIA H200 NVL", 143_771, None);
        check("NVIDIA GeForce RTX 4090 D", 24_564, None);
        check("NVIDIA GeForce RTX 4090 Laptop GPU", 16_376, None);
        check("NVIDIA A100-PCIE-40GB", 40_960, None);
        check("NVIDIA L40", 46_068, None);
        check("NVIDIA A10", 23_028, None);
        check("", 0, None);
    }

    #[test]
    fn every_sheet_has_the_same_rate_for_both_halves_and_more_than_for_f32() {
        for (_, card) in known() {
            let half = card.flop_per_second("f16").unwrap();
            assert!(half > card.flop_per_second("f32").unwrap(), "{}", card.id);
            assert!((card.flop_per_second("bf16").unwrap() - half).abs() < 1.0);
            if let Some(tf32) = card.flop_per_second("tf32") {
                assert!((1.9..2.1).contains(&(half / tf32)), "{}", card.id);
            }
        }
    }

    #[test]
    fn a_card_has_the_numbers_of_its_sheet() {
        let card = recognise("NVIDIA A100-SXM4-80GB", 81_920 << 20).unwrap();
        assert_eq!(card.bandwidth_bytes_per_second, 2_039_000_000_000);
        assert_eq!(card.vram_mib, 81_920);
        assert_eq!(card.flop_per_second("bf16"), Some(312e12));
    }
}
