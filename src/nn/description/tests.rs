use super::*;

#[derive(Deserialize, Serialize, PartialEq, Debug)]
struct File {
    network: Description,
}

fn parse(text: &str) -> Result<Description, toml::de::Error> {
    toml::from_str::<File>(text).map(|file| file.network)
}

/// Every kind of layer, with all its settings.
const EVERY: &str = r#"network = [
    { name = "stem", conv2d = { outputs = 8, kernel = [3, 5], stride = 1, padding = [1, 2], dilation = 1, groups = 1, bias = false, weight-init = "kaiming" } },
    { activation = "tanh" },
    { activation = { leaky-relu = { slope = 0.1 } } },
    { prelu = { shared = true, slope = 0.1 } },
    "batch-norm2d",
    { batch-norm2d = { momentum = 0.2, eps = 1e-4, affine = false } },
    { group-norm = { num-groups = 2, eps = 1e-4, affine = false } },
    { instance-norm = { eps = 1e-4, affine = true } },
    { layer-norm = { last-axes = 3, eps = 1e-4, bias = false } },
    { lrn = { size = 3, alpha = 1e-3, convention = "sum" } },
    { lrn-within-channel = { size = 3, alpha = 1e-3 } },
    { contrast-norm = { size = 3, alpha = 1e-3 } },
    { dropout2d = { p = 0.25 } },
    { residual = { main = [{ conv2d = { outputs = 8, kernel = 1 } }, "relu"], shortcut = [{ conv2d = { outputs = 8, kernel = 1 } }], then = ["relu"] } },
    { concat = { branches = [[{ conv2d = { outputs = 8, kernel = 1 } }], ["relu"]] } },
    { auxiliary-head = { weight = 0.3, head = ["flatten", { linear = { outputs = "classes" } }] } },
    { pixel-shuffle = { factor = 2 } },
    { pixel-shuffle = { factor = 2, inverse = true } },
    { upsample = { factor = 2, mode = "bilinear", align-corners = true } },
    { pad = { sides = [1, 0, 2, 0], mode = "reflect" } },
    { pad = { sides = 1, value = 0.5 } },
    { conv-transpose2d = { outputs = 4, kernel = 2, stride = 2, output-padding = 1, bias-init = { constant = 0.1 } } },
    { local2d = { outputs = 4, kernel = 3, stride = 4, padding = 1 } },
    { max-pool2d = { kernel = 2, stride = 1, padding = 1, dilation = 1 } },
    { avg-pool2d = { kernel = 2, stride = 1, padding = 1, count-include-pad = false, ceil-mode = true } },
    { adaptive-max-pool2d = { output-size = 4 } },
    { adaptive-avg-pool2d = { output-size = [3, 4] } },
    { sequential = { layers = [{ linear = { outputs = 12 } }, { dropout = { p = 0.5 } }] } },
    { linear = { outputs = "classes", bias = false } },
]"#;

#[test]
fn every_layer_can_be_written_and_read_again() {
    let description = parse(EVERY).unwrap();
    let model = description.model("every", [3, 8, 8], 5).unwrap();
    assert_eq!(model.classes().unwrap(), 5);
    let names: Vec<_> = model.parameter_types().unwrap().into_iter().map(|(n, _)| n).collect();
    for name in ["stem.weight", "residual1.shortcut.conv1.bias", "concat1.block1.conv1.weight"] {
        assert!(names.iter().any(|known| known == name), "{name}: {names:?}");
    }
    assert!(!names.iter().any(|name| name == "stem.bias"));
    let written = toml::to_string(&File { network: description.clone() }).unwrap();
    assert_eq!(parse(&written).unwrap(), description, "{written}");
    let written = serde_json::to_string(&description).unwrap();
    assert_eq!(serde_json::from_str::<Description>(&written).unwrap(), description);
    let pooled = parse("network = [\"global-avg-pool2d\", \"global-max-pool2d\"]").unwrap();
    assert_eq!(pooled.model("pooled", [3, 8, 8], 3).unwrap().classes().unwrap(), 3);
}

#[test]
fn faulty_entries_are_named_by_number_and_kind() {
    for (entry, said) in [
        ("\"rely\"", "layer 2: `rely`: unknown variant `rely`, expected one of `conv2d`"),
        ("{ conv2d = { outputs = 3, kernal = 5 } }", "layer 2: `conv2d`: unknown field `kernal`"),
        ("{ conv2d = { outputs = 3 } }", "layer 2: `conv2d`: missing field `kernel`"),
        ("{ linear = { outputs = \"all\" } }", "layer 2: `linear`: give a number of outputs, or"),
        ("{ linear = { outputs = -1 } }", "layer 2: `linear`: give a number of outputs, or"),
        ("{ name = \"a.b\", relu = {} }", "layer 2: the name \"a.b\" may have letters"),
        ("{ name = 3, relu = {} }", "layer 2: the name 3 must be text"),
        ("{ name = \"last\", dropout = { q = 0.5 } }", "layer 2: `dropout` named `last`: unknown"),
        ("{ name = \"last\" }", "layer 2: an entry holds one layer; found: none"),
        ("{ relu = {}, flatten = {} }", "layer 2: an entry holds one layer; found: "),
        ("7", "layer 2: 7 is no layer; write it as \"relu\""),
        (
            "{ residual = { main = [\"relu\", \"rely\"] } }",
            "layer 2: `residual`: layer 2: `rely`: unknown variant",
        ),
    ] {
        let error = parse(&format!("network = [\n\"relu\",\n{entry}]")).unwrap_err().to_string();
        assert!(error.contains(said), "{entry}: {error}");
    }
}

#[test]
fn layers_that_do_not_fit_are_named_by_number_and_name() {
    let fail = |text: &str| {
        let model = parse(text).unwrap().model("faulty", [3, 8, 8], 10);
        model.unwrap_err().to_string()
    };
    let wide = "{ conv2d = { outputs = 4, kernel = 9 } }";
    for (text, said) in [
        (format!("network = [\"relu\", \"relu\", {wide}]"), "network: layer 3: layer `conv1`: "),
        (
            format!("network = [\"relu\", {{ name = \"big\", {}]", &wide[2..]),
            "network: layer 2: layer `big`: ",
        ),
        (
            format!("network = [{{ sequential = {{ layers = [\"relu\", {wide}] }} }}]"),
            "network: layer 1: layer `block1.conv1`: ",
        ),
        ("network = []".into(), "network = []: give at least one layer"),
    ] {
        let error = fail(&text);
        assert!(error.starts_with(said), "{text}: {error}");
    }
    assert!(parse("network = [\"relu\"]").unwrap().model("x", [1, 2, 2], 0).is_err());
}
