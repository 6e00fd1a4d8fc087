//! The one spelling by which the domain of an address is compared and filed.

use smtp_client::dns::a_label;
use smtp_proto::address::Domain;

/// The A-labels of a name, in lower case. An address in brackets is served nowhere, but may stand where nobody has checked.
pub(crate) fn domain_key(domain: &Domain) -> String {
    match domain {
        Domain::Name(name) => a_label(name).into_owned(),
        Domain::Literal(literal) => literal.to_string().to_ascii_lowercase(),
    }
}
