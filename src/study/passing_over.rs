//! Reading a table of a study from the record: a newer program may have written keys into it that this one
//! does not know, while in a study such a key is a slip.

use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// Reads a table without the keys that its default does not have.
pub(super) fn unknown_keys<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned + Serialize + Default,
{
    let known = serde_json::to_value(T::default()).map_err(D::Error::custom)?;
    let mut found = Map::deserialize(deserializer)?;
    found.retain(|key, _| known.get(key).is_some());
    T::deserialize(Value::Object(found)).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::study::file::StudyFile;
    use crate::study::input;
    use crate::study::spec::{Study, Target};

    #[test]
    fn a_key_of_a_newer_program_is_passed_over_in_the_record_and_refused_in_a_study() {
        let text = "[price]\nusd_per_hour = \"2.50\"\n[report]\nutilization = [0.3]\n";
        let file: StudyFile = input::parse(text).unwrap();
        let study = file.resolved(Target::Cpu).unwrap();
        let mut record = serde_json::to_value(&study).unwrap();
        record["price"]["usd_per_acre"] = json!("7");
        record["report"]["max_e2el_ms"] = json!(7);
        assert_eq!(serde_json::from_value::<Study>(record).unwrap(), study);
        let error = input::parse::<StudyFile>("[price]\nusd_per_acre = \"7\"\n").unwrap_err();
        assert!(
            error.to_string().contains("unknown field `usd_per_acre`"),
            "{error}"
        );
    }

    #[test]
    fn a_record_without_a_key_or_a_table_reads() {
        let study = StudyFile::default().resolved(Target::Cpu).unwrap();
        let mut record = serde_json::to_value(&study).unwrap();
        record["price"] = json!({"gpu": null, "usd_per_hour": null});
        assert_eq!(record.get("report"), None);
        assert_eq!(serde_json::from_value::<Study>(record).unwrap(), study);
    }
}
