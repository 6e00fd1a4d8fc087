//! What is known of a server, for people and for programs.

use std::time::Duration;

use smtp_client::proto::extension::Extensions;
use smtp_client::proto::json::{Array, Text};
use smtp_client::proto::printable::Printable;
use smtp_client::proto::reply::Reply;
use smtp_client::server_name::ServerName;

use super::meaning;
use super::witness::{Answer, HandshakeSeen, Question, Seen};
use crate::tls;

/// All that there is to say.
pub(crate) struct Report<'a> {
    pub(crate) server: &'a ServerName,
    pub(crate) seen: &'a Seen,
    /// What it offers, if it is ready for mail.
    pub(crate) extensions: Option<&'a Extensions>,
    /// Why it is not.
    pub(crate) failure: Option<&'a str>,
}

/// A line of the EHLO reply: the keyword, and all that stands behind it.
struct Offer {
    keyword: String,
    arguments: String,
}

impl Report<'_> {
    /// A line for each step, a table of what it offers, and the limits.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        if let Some(address) = self.seen.address {
            text += &format!("{address}: connected in {:.3} s\n", self.seen.connecting.as_secs_f64());
        }
        let mut handshake = self.seen.handshake.as_ref();
        if self.seen.is_tls_first() {
            text += &handshake.take().map(handshake_line).unwrap_or_default();
        }
        for Answer { question, reply, duration } in &self.seen.answers {
            let shown = match question {
                Question::Greeting => format!("greeting in {:.3} s: {reply}", duration.as_secs_f64()),
                Question::Ehlo => format!("EHLO in {:.3} s: {}", duration.as_secs_f64(), first_line(reply)),
                Question::Helo => format!("HELO in {:.3} s: {}", duration.as_secs_f64(), first_line(reply)),
                Question::StartTls => format!("STARTTLS in {:.3} s: {}", duration.as_secs_f64(), first_line(reply)),
            };
            text += &format!("{}\n", Printable(&shown));
            if *question == Question::StartTls {
                text += &handshake.take().map(handshake_line).unwrap_or_default();
            }
        }
        if let Some(extensions) = self.extensions {
            self.write_offers(extensions, &mut text);
        }
        text
    }

    fn write_offers(&self, extensions: &Extensions, text: &mut String) {
        let offers = self.offers();
        let shown = |offer: &Offer| Printable(format!("{} {}", offer.keyword, offer.arguments).trim_end()).to_string();
        let width = offers.iter().map(|offer| shown(offer).chars().count()).max().unwrap_or(0).min(40);
        text.push('\n');
        for offer in &offers {
            let meaning = meaning::of(&offer.keyword).unwrap_or("not known here");
            text.push_str(&format!("{:width$}  {meaning}\n", shown(offer)));
        }
        if offers.is_empty() {
            text.push_str("no extensions\n");
        }
        let size = match extensions.size_limit_octets() {
            Some(octets) => format!("{octets} octets"),
            None => "no limit announced".to_owned(),
        };
        text.push_str(&format!("\nlargest message: {size}\n"));
        for limit in limits(&offers) {
            text.push_str(&format!("{}\n", Printable(limit)));
        }
    }

    /// One object. What is not known is null.
    pub(crate) fn json(&self) -> String {
        let answer = |question| {
            let found = self.seen.answers.iter().rfind(|answer| answer.question == question);
            found.map_or_else(null, |answer| reply_object(&answer.reply, answer.duration))
        };
        let offers = self.offers();
        let offer_objects = offers.iter().map(|offer| {
            let meaning = meaning::of(&offer.keyword).map_or_else(null, |meaning| Text(meaning).to_string());
            let (keyword, arguments) = (Text(&offer.keyword), Text(&offer.arguments));
            format!(r#"{{"keyword":{keyword},"arguments":{arguments},"meaning":{meaning}}}"#)
        });
        let address = self.seen.address.map(|address| address.to_string());
        let connect_seconds = self.seen.address.map_or_else(null, |_| seconds(self.seen.connecting));
        let size = self.extensions.and_then(Extensions::size_limit_octets).map_or_else(null, |size| size.to_string());
        let members = [
            ("server", Text(&self.server.to_string()).to_string()),
            ("address", text_or_null(address.as_deref())),
            ("connect_seconds", connect_seconds),
            ("greeting", answer(Question::Greeting)),
            ("ehlo", answer(Question::Ehlo)),
            ("helo", answer(Question::Helo)),
            ("tls", self.tls()),
            ("extensions", Array(offer_objects.collect()).to_string()),
            ("size_limit_octets", size),
            ("limits", Array(limits(&offers).map(Text).collect()).to_string()),
            ("failure", text_or_null(self.failure)),
        ];
        format!("{{{}}}\n", members.map(|(name, value)| format!("{}:{value}", Text(name))).join(","))
    }

    /// What came of TLS: null where there is none, and nobody tried.
    fn tls(&self) -> String {
        self.seen.handshake.as_ref().map_or_else(null, |handshake| match &handshake.result {
            Ok(secured) => tls::object(secured),
            Err(problem) => format!(r#"{{"version":null,"cipher":null,"verified":false,"problem":{}}}"#, Text(problem)),
        })
    }

    /// As the extensions print themselves, so that it does not matter which of them the core knows.
    fn offers(&self) -> Vec<Offer> {
        let offers = self.extensions.into_iter().flat_map(Extensions::iter).map(|extension| {
            let line = extension.to_string();
            let (keyword, arguments) = line.split_once(' ').unwrap_or((&line, ""));
            Offer { keyword: keyword.to_owned(), arguments: arguments.trim().to_owned() }
        });
        offers.collect()
    }
}

/// The words behind LIMITS: `RCPTMAX=100` (RFC 9422, 3).
fn limits(offers: &[Offer]) -> impl Iterator<Item = &str> {
    let limits = offers.iter().filter(|offer| offer.keyword.eq_ignore_ascii_case("LIMITS"));
    limits.flat_map(|offer| offer.arguments.split_ascii_whitespace())
}

fn handshake_line(handshake: &HandshakeSeen) -> String {
    let shown = match &handshake.result {
        Ok(secured) => secured.to_string(),
        Err(problem) => problem.clone(),
    };
    format!("TLS in {:.3} s: {}\n", handshake.duration.as_secs_f64(), Printable(&shown))
}

fn first_line(reply: &Reply) -> String {
    format!("{} {}", reply.code(), reply.lines().next().unwrap_or_default())
}

fn reply_object(reply: &Reply, duration: Duration) -> String {
    let enhanced = reply.enhanced().map(|enhanced| enhanced.to_string());
    let (code, seconds, enhanced) = (reply.code(), seconds(duration), text_or_null(enhanced.as_deref()));
    let lines = Array(reply.lines().map(Text).collect());
    format!(r#"{{"seconds":{seconds},"code":{code},"enhanced":{enhanced},"lines":{lines}}}"#)
}

fn seconds(duration: Duration) -> String {
    format!("{:.6}", duration.as_secs_f64())
}

fn text_or_null(text: Option<&str>) -> String {
    text.map_or_else(null, |text| Text(text).to_string())
}

fn null() -> String {
    "null".to_owned()
}
