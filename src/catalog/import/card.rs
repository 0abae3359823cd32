//! Which card a marketplace means by the names that it uses.

/// A card as far as names tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Card {
    /// The id of the catalog, or the bare chip where the form factor or the memory is not stated.
    pub(super) gpu: String,
    /// What is not stated.
    pub(super) note: Option<&'static str>,
}

/// Instance families that fix what the accelerator's name leaves open: cloud, beginning of the
/// instance type, card. Source: the clouds' pages on their accelerated instances.
const FAMILIES: [(&str, &str, &str); 12] = [
    ("aws", "p4d.", "a100-40gb-sxm"),
    ("aws", "p4de.", "a100-80gb-sxm"),
    ("aws", "p5.", "h100-sxm"),
    ("aws", "p5e.", "h200-sxm"),
    ("aws", "p5en.", "h200-sxm"),
    ("azure", "standard_nd96asr", "a100-40gb-sxm"),
    ("azure", "standard_nd96amsr", "a100-80gb-sxm"),
    ("azure", "standard_nd96isr_h100", "h100-sxm"),
    ("azure", "standard_nc24ads_a100", "a100-80gb-pcie"),
    ("gcp", "a2-highgpu", "a100-40gb-sxm"),
    ("gcp", "a2-ultragpu", "a100-80gb-sxm"),
    ("gcp", "a3-highgpu", "h100-sxm"),
];

/// The card of an accelerator's name and an instance type.
pub(super) fn card(cloud: &str, accelerator: &str, instance: &str) -> Card {
    let known = |gpu: &str| Card {
        gpu: gpu.to_owned(),
        note: None,
    };
    let lower = instance.to_lowercase();
    let family = FAMILIES
        .iter()
        .find(|(of, begins, _)| *of == cloud && lower.starts_with(begins));
    if let Some((_, _, gpu)) = family {
        return known(gpu);
    }
    let name = slug(accelerator);
    let said = format!("{name}-{}", slug(instance));
    let says = |word: &str| said.split('-').any(|other| other.starts_with(word));
    match name.split('-').next().unwrap_or_default() {
        "h100" if says("nvl") => known("h100-nvl"),
        "h100" if says("pcie") => known("h100-pcie"),
        "h100" if says("sxm") || says("hbm3") || says("mega") => known("h100-sxm"),
        "h100" => open("h100"),
        "h200" if says("nvl") => known("h200-nvl"),
        "h200" => known("h200-sxm"),
        "b200" => known("b200-sxm"),
        "a100" => a100(&name, says("sxm"), says("pcie")),
        "rtx4090" if name == "rtx4090" => known("rtx-4090"),
        _ => known(&name),
    }
}

/// An A100 by the memory in its name: the name alone covers 40 and 80 GB.
fn a100(name: &str, sxm: bool, pcie: bool) -> Card {
    let memory = |gb: &str| name.split('-').any(|word| word == gb);
    let gpu = match (memory("80gb"), memory("40gb"), sxm, pcie) {
        (true, false, true, false) => "a100-80gb-sxm",
        (true, false, false, true) => "a100-80gb-pcie",
        (false, true, true, false) => "a100-40gb-sxm",
        (true, false, ..) => return open("a100-80gb"),
        (false, true, ..) => return open("a100-40gb"),
        (false, false, ..) | (true, true, ..) => return open("a100"),
    };
    Card {
        gpu: gpu.to_owned(),
        note: None,
    }
}

fn open(gpu: &str) -> Card {
    Card {
        gpu: gpu.to_owned(),
        note: Some("the list does not state the form factor or the memory"),
    }
}

/// Lower-case letters and digits with single hyphens between.
pub(super) fn slug(text: &str) -> String {
    text.split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect::<Vec<_>>()
        .join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(cloud: &str, accelerator: &str, instance: &str, gpu: &str) {
        assert_eq!(card(cloud, accelerator, instance).gpu, gpu);
    }

    #[test]
    fn names_and_instances_together_give_the_card() {
        check(
            "nebius",
            "H100",
            "gpu-h100-sxm_1gpu-16vcpu-200gb",
            "h100-sxm",
        );
        check("vast", "H100", "1x-H100_NVL-32-65536", "h100-nvl");
        check("vast", "H100", "1x-H100_PCIE-32-65536", "h100-pcie");
        check("runpod", "H100-SXM", "1x_H100-SXM_SECURE", "h100-sxm");
        check(
            "runpod",
            "A100-80GB-SXM",
            "1x_A100-80GB-SXM_SECURE",
            "a100-80gb-sxm",
        );
        check("aws", "A100", "p4d.24xlarge", "a100-40gb-sxm");
        check("aws", "A100-80GB", "p4de.24xlarge", "a100-80gb-sxm");
        check("aws", "H100", "p5.48xlarge", "h100-sxm");
        check("vast", "RTX4090", "1x-RTX_4090-32-65536", "rtx-4090");
        check("aws", "L4", "g6.xlarge", "l4");
        check("nebius", "L40S", "gpu-l40s-a_1gpu-8vcpu-32gb", "l40s");
        check("verda", "B200", "1B200.30V", "b200-sxm");
        check("lambda", "V100", "gpu_8x_v100", "v100");
    }

    #[test]
    fn what_is_not_stated_is_left_open() {
        let vague = card("verda", "H100", "1H100.80S.32V");
        assert_eq!((vague.gpu.as_str(), vague.note.is_some()), ("h100", true));
        check("runpod", "A100-80GB", "1x_A100-80GB_SECURE", "a100-80gb");
        check("vast", "A100", "1x-A100_PCIE-32-65536", "a100");
    }
}
