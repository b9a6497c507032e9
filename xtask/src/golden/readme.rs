//! The README beside the captures, written with them.

use super::cases::{Case, SIDES};

/// What stands before the list of captures; `{kernel}` and `{iproute2}` are filled in.
const HEAD: &str = include_str!("readme_head.md");

/// The README's text.
pub(super) fn text(kernel: &str, iproute2: &str, cases: &[Case]) -> String {
    let mut text = HEAD.replace("{kernel}", kernel).replace("{iproute2}", iproute2);
    for case in cases {
        let [lan, underlay] = case.files();
        text += &format!(
            "\n### {}\n\n- `{lan}`: {}; frames on a's `lan0`; Linux {kernel}.\n\
             - `{underlay}`: the same frames in L2TPv3 on a's `wan`; Linux {kernel}.\n\n```sh\n",
            case.name,
            case.summary()
        );
        for (side, name) in SIDES.iter().enumerate() {
            for command in case.commands(side) {
                text += &format!("{command}  # {name}\n");
            }
        }
        text += "```\n";
    }
    text
}
