//! The JSON Schema of the pipeline file, for editors: draft-07, because the common YAML language server reads no
//! later one. It knows shapes and words; the graph and everything between two values only `validate` knows.

use schemars::generate::SchemaSettings;
use schemars::{Schema, json_schema};
use serde_json::{Map, Value};

use super::raw::Pipeline;

/// The schema of a pipeline file.
pub fn pipeline() -> Value {
    let schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<Pipeline>();
    schema.to_value()
}

/// The schema of a map with a fixed set of keys.
pub(super) fn object(docs: &[&str], properties: Vec<(&str, Value)>, required: &[&str]) -> Schema {
    let description = docs.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
    let properties: Map<String, Value> = properties.into_iter().map(|(key, schema)| (key.to_owned(), schema)).collect();
    json_schema!({
        "type": "object",
        "description": description,
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}
