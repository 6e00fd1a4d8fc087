//! `smtp-server explain`: what RCPT would be answered, and where the mail would go, in words.
//!
//! It asks the policy and the addressing that the server asks, so it cannot tell anything else than the server does.

use std::fmt::Write as _;
use std::io::Write as _;

use smtp_server::addressing::{Outcome, Refusal, Step};
use smtp_server::policy::LocalPolicy;
use smtp_server::proto::address::ForwardPath;
use smtp_server::proto::printable::Printable;
use smtp_server::relay_route::RelayRoute;

use crate::config_file;
use crate::exit::{self, Failure};
use crate::options::Explain;
use crate::setup;

/// What is said, and the exit code.
#[derive(Debug, PartialEq, Eq)]
struct Explanation {
    text: String,
    code: u8,
}

/// Explains to standard output. Whoever closed it does not want to know.
pub(crate) fn run(explain: &Explain) -> Result<u8, Failure> {
    let settings = config_file::complete(explain.options())?;
    let reloader = setup::addressing(&settings, &setup::hostname(&settings.options))?;
    let policy = setup::policy(&settings, &reloader);
    let has_users = settings.options.users.is_some();
    let relay = settings.options.relay.unwrap_or_default();
    let Explanation { text, code } = explanation(&policy, has_users, &relay, &explain.address);
    let mut output = std::io::stdout();
    for line in text.lines() {
        let _ = writeln!(output, "{}", Printable(line));
    }
    Ok(code)
}

fn explanation(policy: &LocalPolicy, has_users: bool, relay: &RelayRoute, path: &ForwardPath) -> Explanation {
    let addressing = policy.addressing();
    let (mut text, code) = match addressing.accepts(path) {
        Ok(()) => (format!("RCPT TO:{path} is accepted\n"), 0),
        Err(refusal) => (format!("RCPT TO:{path} is refused: {}\n", refusal.reply()), code(refusal)),
    };
    if addressing.is_relaying() && addressing.accepts(path) == Err(Refusal::Elsewhere) {
        match (policy.is_relaying_for_some(), has_users) {
            (false, false) => {
                text += "--relay sends it on for the networks of --relay-from and for --users, and there are none\n";
                return Explanation { text, code };
            }
            (false, true) => text += "from users who have logged in it is accepted\n",
            (true, false) => text += "from the networks of --relay-from it is accepted\n",
            (true, true) => {
                text += "from the networks of --relay-from, and from users who have logged in, it is accepted\n"
            }
        }
    }
    for step in addressing.expand(path).steps {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}", sentence(&step, relay));
    }
    Explanation { text, code }
}

fn sentence(step: &Step<'_>, relay: &RelayRoute) -> String {
    let address = &step.address;
    match &step.outcome {
        Outcome::Mailbox(mailbox) => format!("{address} goes to the mailbox {mailbox}"),
        Outcome::Relay => format!("{address} is sent on {} (--relay {relay})", way_out(relay)),
        Outcome::Refused(refusal) => format!("{address} {}", why_not(*refusal)),
        Outcome::Alias(alias) => {
            let targets: Vec<String> = alias.targets().iter().map(ToString::to_string).collect();
            let place = format!("{} on line {} of the aliases", alias.name(), alias.line());
            format!("{address} stands for {} ({place})", targets.join(", "))
        }
    }
}

fn way_out(relay: &RelayRoute) -> String {
    match relay {
        RelayRoute::Smart(server) => format!("to {server}"),
        RelayRoute::Mx => "to the mail exchangers of its domain".to_owned(),
        RelayRoute::None => "nowhere".to_owned(),
    }
}

fn why_not(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Unknown => "is at a domain of this server, and is nobody there",
        Refusal::Elsewhere => "is at a domain that is not served here (see --domain), so this would be relaying",
        Refusal::Odd => "holds a route (@, % or ! in the local part), and is nobody's name here",
        Refusal::NoDirectory => {
            "has a local part that can be no directory (it is empty or too long), so nobody has this mailbox"
        }
        Refusal::NotRelayed => "is at a domain that is not served here, and this server sends nothing on",
        Refusal::Circle => "stands for itself and for nobody else",
        Refusal::TooDeep => "is an alias behind too many others",
        Refusal::TooMany => "stands for too many addresses",
    }
}

/// By what is wrong with the address; what is wrong with our own aliases is a wrong setting.
fn code(refusal: Refusal) -> u8 {
    match refusal {
        Refusal::Unknown | Refusal::NoDirectory => exit::NO_USER,
        Refusal::Elsewhere | Refusal::Odd | Refusal::NotRelayed => exit::PERMISSION,
        Refusal::Circle | Refusal::TooDeep | Refusal::TooMany => exit::CONFIG,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use smtp_server::addressing::LocalAddressing;
    use smtp_server::aliases::Aliases;
    use smtp_server::recipients::Recipients;

    use super::*;

    fn explained(addressing: &LocalAddressing, path: &str) -> (u8, Vec<String>) {
        let policy = LocalPolicy::from(Arc::new(addressing.clone()));
        let policy = policy.with_relay_from(vec!["192.0.2.0/24".parse().unwrap()]);
        let Explanation { text, code } = explanation(&policy, false, &RelayRoute::Mx, &path.parse().unwrap());
        (code, text.lines().map(str::to_owned).collect())
    }

    #[test]
    fn step_by_step() {
        let addressing = LocalAddressing::new(["us.example".parse().unwrap()])
            .with_recipients(Recipients::parse("bob\nann\n").unwrap())
            .with_aliases(Aliases::parse("# who\nteam: Bob+x, away\naway: ann@far.example\na: b\nb: a\n").unwrap());
        let refused = "550 5.7.1 This server takes no mail for that domain";
        for (path, code, lines) in [
            (
                "Bob+Lists@us.example",
                0,
                &[
                    "RCPT TO:<Bob+Lists@us.example> is accepted",
                    "<Bob+Lists@us.example> goes to the mailbox bob@us.example",
                ][..],
            ),
            (
                "postmaster",
                0,
                &["RCPT TO:<Postmaster> is accepted", "<Postmaster> goes to the mailbox postmaster@us.example"],
            ),
            (
                "team@us.example",
                0,
                &[
                    "RCPT TO:<team@us.example> is accepted",
                    "<team@us.example> stands for Bob+x, away (team on line 2 of the aliases)",
                    "<Bob+x@us.example> goes to the mailbox bob@us.example",
                    "<away@us.example> stands for ann@far.example (away on line 3 of the aliases)",
                    "<ann@far.example> is at a domain that is not served here, and this server sends nothing on",
                ],
            ),
            (
                "eve@us.example",
                67,
                &[
                    "RCPT TO:<eve@us.example> is refused: 550 5.1.1 There is no such mailbox here",
                    "<eve@us.example> is at a domain of this server, and is nobody there",
                ],
            ),
            (
                "u@far.example",
                77,
                &[
                    &format!("RCPT TO:<u@far.example> is refused: {refused}"),
                    "<u@far.example> is at a domain that is not served here (see --domain), so this would be relaying",
                ],
            ),
        ] {
            assert_eq!(explained(&addressing, path), (code, lines.iter().map(|&line| line.to_owned()).collect()));
        }
        for (path, code) in [("a%b@us.example", 77), ("away@us.example", 77), ("a@us.example", 78)] {
            assert_eq!(explained(&addressing, path).0, code, "{path}");
        }

        let in_maildirs = LocalAddressing::new(["us.example".parse().unwrap()]).with_maildirs();
        let (code, lines) = explained(&in_maildirs, "\"\"@us.example");
        assert_eq!(code, 67);
        assert!(lines[0].starts_with("RCPT TO:<\"\"@us.example> is refused: 550 5.1.1 "), "{lines:?}");
        assert!(lines[1].starts_with("<\"\"@us.example> has a local part that can be no directory "), "{lines:?}");

        let relaying = addressing.with_relaying();
        assert_eq!(explained(&relaying, "away@us.example").0, 0);
        assert_eq!(
            explained(&relaying, "u@far.example"),
            (
                77,
                vec![
                    format!("RCPT TO:<u@far.example> is refused: {refused}"),
                    "from the networks of --relay-from it is accepted".to_owned(),
                    "<u@far.example> is sent on to the mail exchangers of its domain (--relay mx)".to_owned(),
                ]
            )
        );

        let somebody = LocalPolicy::from(Arc::new(relaying.clone()));
        let smart = "smart:mail.isp.example:587".parse().unwrap();
        let Explanation { text, .. } = explanation(&somebody, false, &smart, &"<away@us.example>".parse().unwrap());
        let expected = "<ann@far.example> is sent on to mail.isp.example:587 (--relay smart:mail.isp.example:587)\n";
        assert!(text.ends_with(expected), "{text}");

        let nobody = LocalPolicy::from(Arc::new(relaying));
        let Explanation { text, code } =
            explanation(&nobody, false, &RelayRoute::Mx, &"<u@far.example>".parse().unwrap());
        let expected = "--relay sends it on for the networks of --relay-from and for --users, and there are none\n";
        assert!(code == 77 && text.ends_with(expected), "{text}");
    }
}
