//! The model cards that ship inside the executable.

use super::EngineError;
use crate::study::model::{Family, ModelCard, Shape};

/// Pairs each file under `models/` with its stem, the name that `card:NAME` takes.
macro_rules! embedded {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../models/", $name, ".toml")))),*]
    };
}

const CARDS: [(&str, &str); 13] = embedded!(
    "llama-3.1-8b",
    "llama-3.2-1b",
    "llama-3.2-3b",
    "llama-3.3-70b",
    "mistral-7b-v0.3",
    "qwen2.5-0.5b",
    "qwen2.5-7b",
    "qwen3-0.6b",
    "qwen3-1.7b",
    "qwen3-14b",
    "qwen3-32b",
    "qwen3-4b",
    "qwen3-8b",
);

/// The architecture of a model and its shape.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Architecture {
    /// The family.
    pub(crate) family: Family,
    /// The shape.
    pub(crate) shape: Shape,
}

/// A card together with the name it is asked for by.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedCard {
    /// The file stem under `models/`.
    pub name: &'static str,
    /// What it says.
    pub card: ModelCard,
}

/// Every card, by name.
pub fn all() -> Vec<NamedCard> {
    CARDS
        .iter()
        .map(|&(name, text)| NamedCard {
            name,
            card: parse(text),
        })
        .collect()
}

/// The card of that name; the error names those that come near.
pub fn find(name: &str) -> Result<ModelCard, EngineError> {
    CARDS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, text)| parse(text))
        .ok_or_else(|| EngineError::Model {
            place: format!("card:{name}"),
            reason: unknown(name),
        })
}

fn parse(text: &str) -> ModelCard {
    toml::from_str(text).expect("every embedded card is parsed by a test")
}

fn unknown(name: &str) -> String {
    let near: Vec<&str> = CARDS
        .iter()
        .map(|(known, _)| *known)
        .filter(|known| resembles(&name.to_lowercase(), known))
        .collect();
    if near.is_empty() {
        let known: Vec<&str> = CARDS.iter().map(|(known, _)| *known).collect();
        format!("no such model card; there are {}", known.join(", "))
    } else {
        format!("no such model card; did you mean {}?", near.join(", "))
    }
}

/// Whether one name contains the other or few edits separate them.
fn resembles(asked: &str, known: &str) -> bool {
    (asked.len() > 2 && (known.contains(asked) || asked.contains(known)))
        || edit_distance(asked, known) <= 3
}

/// Levenshtein distance in characters.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::model::Slot;

    #[track_caller]
    fn has_parameters(name: &str, published: u64) {
        assert_eq!(find(name).unwrap().shape.parameters(), published, "{name}");
    }

    #[test]
    fn every_card_has_its_published_parameter_count() {
        has_parameters("llama-3.1-8b", 8_030_261_248);
        has_parameters("llama-3.2-1b", 1_235_814_400);
        has_parameters("llama-3.2-3b", 3_212_749_824);
        has_parameters("llama-3.3-70b", 70_553_706_496);
        has_parameters("mistral-7b-v0.3", 7_248_023_552);
        has_parameters("qwen2.5-0.5b", 494_032_768);
        has_parameters("qwen2.5-7b", 7_615_616_512);
        has_parameters("qwen3-0.6b", 596_049_920);
        has_parameters("qwen3-1.7b", 1_720_574_976);
        has_parameters("qwen3-4b", 4_022_468_096);
        has_parameters("qwen3-8b", 8_190_735_360);
        has_parameters("qwen3-14b", 14_768_307_200);
        has_parameters("qwen3-32b", 32_762_123_264);
        assert_eq!(all().len(), 13);
    }

    #[test]
    fn a_pinned_card_names_its_commit_in_its_source() {
        for NamedCard { name, card } in all() {
            assert!(
                card.source
                    .contains(&format!("huggingface.co/{}/", card.repository))
            );
            if let Some(commit) = card.commit {
                assert_eq!(commit.len(), 40, "{name}");
                assert!(card.source.contains(&commit), "{name}");
            }
        }
    }

    #[test]
    fn every_file_under_models_is_embedded() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/models");
        let mut stems: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
            .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        stems.sort();
        assert_eq!(stems, CARDS.map(|(name, _)| name));
    }

    #[test]
    fn an_unknown_card_names_its_neighbours() {
        let message = find("llama-3.1-7b").unwrap_err().to_string();
        assert!(message.contains("did you mean llama-3.1-8b"), "{message}");
        let message = find("gpt").unwrap_err().to_string();
        assert!(message.contains("there are llama-3.1-8b, "), "{message}");
    }

    #[test]
    fn the_tensors_of_every_card_add_up_to_its_parameters() {
        for NamedCard { name, card } in all() {
            let elements: usize = Slot::all(&card.shape)
                .into_iter()
                .map(|slot| slot.dims(&card.shape).list().iter().product::<usize>())
                .sum();
            assert_eq!(elements as u64, card.shape.parameters(), "{name}");
        }
    }

    #[test]
    fn no_two_tensors_share_a_name() {
        let shape = find("qwen2.5-7b").unwrap().shape;
        let slots = Slot::all(&shape);
        let names: std::collections::HashSet<String> = slots
            .iter()
            .flat_map(|slot| [slot.checkpoint_name(), slot.gguf_name()])
            .collect();
        assert_eq!(names.len(), 2 * slots.len());
    }
}
