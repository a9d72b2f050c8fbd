//! Groups of parameters with settings of their own.

/// Parameters by name, and how they are updated differently from the others.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Group {
    /// The parameters' names, such as `conv1.weight`; a `*` stands for any characters: `conv1.*`,
    /// `*.bias`.
    pub parameters: String,
    /// The factor of the learning rate; without it that of the optimizer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learning_rate_scale: Option<f64>,
    /// The weight decay; without it that of the optimizer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
}

impl Group {
    /// The parameters whose names match `pattern`, updated as all others so far.
    pub fn new(pattern: impl Into<String>) -> Self {
        Group { parameters: pattern.into(), learning_rate_scale: None, weight_decay: None }
    }

    /// Sets the factor of the learning rate; 0 freezes the parameters.
    pub fn learning_rate_scale(mut self, scale: f64) -> Self {
        self.learning_rate_scale = Some(scale);
        self
    }

    /// Sets the weight decay.
    pub fn weight_decay(mut self, weight_decay: f64) -> Self {
        self.weight_decay = Some(weight_decay);
        self
    }

    /// Whether the parameter `name` belongs to the group.
    pub fn has(&self, name: &str) -> bool {
        matches(&self.parameters, name)
    }
}

/// Whether `name` matches `pattern`, in which a `*` stands for any characters.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(start) else { return false };
    let mut parts: Vec<_> = rest.split('*').collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = name.find(part) else { return false };
        name = &name[at + part.len()..];
    }
    name.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        let cases = [
            ("conv1.weight", "conv1.weight", true),
            ("conv1.weight", "conv1.weights", false),
            ("conv1.*", "conv1.bias", true),
            ("conv1.*", "conv10.bias", false),
            ("*.bias", "fc3.bias", true),
            ("*.bias", "fc3.bias.weight", false),
            ("*", "anything", true),
            ("block*.conv*.weight", "block2.part.conv3.weight", true),
            ("block*.conv*.weight", "block2.norm.weight", false),
            ("a*a", "a", false),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(Group::new(pattern).has(name), expected, "{pattern} {name}");
        }
    }
}
