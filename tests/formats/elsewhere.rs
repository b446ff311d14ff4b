//! Formats and readers other than the crate's own: what is stored must not depend on them.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Through JSON, read by a reader that is off in the last place of every fraction.
///
/// `serde_json` is such a reader without its feature `float_roundtrip`, which these tests have on.
pub(crate) fn inexactly<T: Serialize + DeserializeOwned>(value: &T) -> T {
    let mut stored = serde_json::to_value(value).unwrap();
    nudge(&mut stored);
    serde_json::from_value(stored).unwrap()
}

fn nudge(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(nudge),
        Value::Object(fields) => fields.values_mut().for_each(nudge),
        Value::Number(number) => {
            if let Some(fraction) = number.as_f64().filter(|x| x.fract() != 0.0) {
                *value = fraction.next_up().into();
            }
        }
        _ => {}
    }
}

/// Through a format that tells fields apart by their order alone.
pub(crate) fn by_order<T: Serialize + DeserializeOwned>(value: &T) -> T {
    postcard::from_bytes(&postcard::to_stdvec(value).unwrap()).unwrap()
}
