//! One step of the queue: what is due in one lane is routed, carried or reported, and each recipient's state brought to
//! disk.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Instant;

use smtp_proto::address::ReversePath;
use smtp_proto::parameter::Notify;
use smtp_proto::report::{Case, wants_report};
use smtp_spool::{Claim, Ended, Lane, MessageId, Outcome, Owes, RecipientState, Settlement, StoreError, WorkerId};

use super::{Carrier, Parcel, Queue, Route, Said, Verdict};
use crate::quoted::Quoted;

/// Claims that are taken at once: one at a time would be several times dearer.
pub(super) const CLAIMS: usize = 20;

/// Messages that a thread routes before it looks for what is due elsewhere.
const ROUTED_AT_ONCE: usize = 100;

/// How the words begin when a recipient is given up.
pub(super) const GIVEN_UP: &str = "given up after ";

/// What a lane turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// It leads somewhere.
    Alive,
    /// Nobody is at its end, for now.
    Dead,
    /// Nobody went there: others had taken what was due.
    Untried,
}

/// A try whose outcome is to be brought to disk.
struct Try {
    ended: Ended,
    /// A report that it takes long, to be let go behind that.
    warning: Option<MessageId>,
}

impl Queue {
    /// Does what is due in a lane, as far as it does not take too long.
    pub(super) fn work(&self, worker: &WorkerId, lane: &Lane) -> Result<Way, StoreError> {
        let claims = self.store.claim(worker, lane, CLAIMS, self.now())?;
        if *lane == Lane::unrouted() {
            self.route_all(worker, claims)?;
            return Ok(Way::Alive);
        }
        if *lane == Lane::reports() {
            claims.into_iter().try_for_each(|claim| self.report(claim))?;
            return Ok(Way::Alive);
        }
        self.carry_all(worker, lane, claims)
    }

    /// Routes what is due, as long as anything is, and not for too long.
    fn route_all(&self, worker: &WorkerId, mut claims: Vec<Claim>) -> Result<(), StoreError> {
        let mut routed = 0;
        while !claims.is_empty() {
            routed += claims.len();
            self.route_some(claims)?;
            if routed >= ROUTED_AT_ONCE {
                break;
            }
            claims = self.store.claim(worker, &Lane::unrouted(), CLAIMS, self.now())?;
        }
        Ok(())
    }

    /// Asks for each recipient where its mail goes. What ends on this host is delivered at once: a note of where it was to
    /// go would cost as much as the delivery. And together: who waits for the medium waits once for all of it.
    pub(super) fn route_some(&self, claims: Vec<Claim>) -> Result<(), StoreError> {
        let mut here: Vec<(Lane, Vec<Claim>)> = Vec::new();
        for claim in claims {
            let numbers = claim.recipients();
            let routes: Vec<Route> = numbers.iter().map(|number| self.route_of(&claim, *number)).collect();
            match common_lane(&routes).filter(|lane| self.transport.is_local(lane)) {
                Some(lane) => match here.iter_mut().find(|(known, _)| known == lane) {
                    Some((_, claims)) => claims.push(claim),
                    None => here.push((lane.clone(), vec![claim])),
                },
                None => self.route(claim, numbers, routes)?,
            }
        }
        here.into_iter().try_for_each(|(lane, claims)| self.deliver(&lane, claims))
    }

    /// Delivers messages that were not routed yet into a lane that ends on this host.
    fn deliver(&self, lane: &Lane, claims: Vec<Claim>) -> Result<(), StoreError> {
        let began = Instant::now();
        let ends: Vec<Vec<(usize, Verdict)>> = match self.transport.open(lane) {
            Ok(mut carrier) => {
                let parcels: Vec<Parcel<'_>> = claims.iter().map(|claim| self.parcel(claim)).collect();
                let verdicts = carrier.carry_all(&parcels);
                carrier.close();
                let numbers = claims.iter().map(Claim::recipients);
                numbers.zip(verdicts).map(|(numbers, verdicts)| numbers.into_iter().zip(verdicts).collect()).collect()
            }
            Err(verdict) => claims.iter().map(|claim| alike(claim, &verdict)).collect(),
        };
        let tries = claims.into_iter().zip(ends).map(|(claim, ends)| {
            // Who has not got it waits where it was to go.
            let is_there = |verdict: &Verdict| matches!(verdict, Verdict::Delivered(_) | Verdict::PassedOn(_));
            let waiting = ends.iter().filter(|(_, verdict)| !is_there(verdict));
            let routed = waiting.map(|(number, _)| (*number, Outcome::Routed(lane.clone()))).collect();
            self.conclude(claim, routed, ends, began)
        });
        self.settle_all(tries.collect())
    }

    /// Notes where the recipients of one message stand from now on.
    fn route(&self, claim: Claim, numbers: Vec<usize>, routes: Vec<Route>) -> Result<(), StoreError> {
        let mut ends = Vec::new();
        let mut outcomes = Vec::new();
        for (number, route) in numbers.into_iter().zip(routes) {
            match route {
                Route::To(lane) => outcomes.push((number, Outcome::Routed(lane))),
                Route::Instead(targets) => outcomes.push((number, Outcome::Expanded(targets))),
                Route::Nowhere(verdict) => ends.push((number, verdict)),
            }
        }
        self.settle(claim, outcomes, ends, Instant::now())?;
        // Whoever waits for a place on this host may have something to do elsewhere.
        self.offer_places();
        Ok(())
    }

    fn route_of(&self, claim: &Claim, number: usize) -> Route {
        let is_target = number >= claim.envelope().recipients.len();
        match claim.recipient(number) {
            Some(recipient) => self.router.route(recipient, is_target),
            None => Route::Nowhere(Verdict::Deferred(Said::here("451 4.3.0 the recipient is not known any more"))),
        }
    }

    /// Carries one message after the other the same way, as long as there are any and the way is open.
    fn carry_all(&self, worker: &WorkerId, lane: &Lane, mut claims: Vec<Claim>) -> Result<Way, StoreError> {
        if claims.is_empty() {
            return Ok(Way::Untried);
        }
        let mut carrier = match self.transport.open(lane) {
            Ok(carrier) => carrier,
            Err(verdict) => {
                // It is the same for all who are due here, however many they are: one call to a dead host is enough.
                while !claims.is_empty() {
                    claims.into_iter().try_for_each(|claim| self.settle_alike(claim, &verdict))?;
                    claims = self.store.claim(worker, lane, CLAIMS, self.now())?;
                }
                return Ok(if matches!(verdict, Verdict::Deferred(_)) { Way::Dead } else { Way::Alive });
            }
        };
        let mut carried = 0;
        while !claims.is_empty() {
            for claim in claims {
                if carrier.is_open() && carried < self.settings.messages_per_carrier {
                    carried += 1;
                    self.carry(&mut *carrier, claim)?;
                    // Others may help from here on, and need not wait until this way is closed.
                    if carried == 1 && carrier.is_open() && self.lanes().prove(lane) {
                        self.offer_places();
                    }
                } else {
                    // It goes another way, at once.
                    let _ = self.store.settle(claim, &[], Settlement::Done)?;
                }
            }
            if !carrier.is_open() || carried >= self.settings.messages_per_carrier {
                break;
            }
            claims = self.store.claim(worker, lane, CLAIMS, self.now())?;
        }
        // Behind a way that broke off at its first message there may be nobody for the next one either.
        let is_dead = !carrier.is_open() && carried <= 1;
        carrier.close();
        Ok(if is_dead { Way::Dead } else { Way::Alive })
    }

    fn carry(&self, carrier: &mut dyn Carrier, claim: Claim) -> Result<(), StoreError> {
        let began = Instant::now();
        let ends = self.verdicts(carrier, &claim);
        self.settle(claim, Vec::new(), ends, began)
    }

    /// Hands over a message. What became of each recipient of the claim.
    fn verdicts(&self, carrier: &mut dyn Carrier, claim: &Claim) -> Vec<(usize, Verdict)> {
        let verdicts = carrier.carry(&self.parcel(claim));
        claim.recipients().into_iter().zip(verdicts).collect()
    }

    fn parcel<'a>(&'a self, claim: &'a Claim) -> Parcel<'a> {
        let numbers = claim.recipients().into_iter();
        let recipients = numbers.filter_map(|number| Some((number, claim.recipient(number)?))).collect();
        Parcel { claim, store: &*self.store, recipients }
    }

    fn settle_alike(&self, claim: Claim, verdict: &Verdict) -> Result<(), StoreError> {
        let ends = alike(&claim, verdict);
        self.settle(claim, Vec::new(), ends, Instant::now())
    }

    /// Brings to disk what became of the recipients of a claim.
    fn settle(
        &self,
        claim: Claim,
        outcomes: Vec<(usize, Outcome)>,
        ends: Vec<(usize, Verdict)>,
        began: Instant,
    ) -> Result<(), StoreError> {
        self.settle_all(vec![self.conclude(claim, outcomes, ends, began)])
    }

    /// The same for many. All of them are tried, whatever becomes of the first.
    fn settle_all(&self, tries: Vec<Try>) -> Result<(), StoreError> {
        let (ended, warnings): (Vec<Ended>, Vec<_>) = tries.into_iter().map(|one| (one.ended, one.warning)).unzip();
        let mut result = Ok(());
        for (settled, warning) in self.store.settle_all(ended).into_iter().zip(warnings) {
            // Only now: see `smtp_spool::recipient_state`.
            let done = settled.and_then(|_| warning.map_or(Ok(()), |id| self.store.admit(&id)));
            result = result.and(done);
        }
        result
    }

    /// What the verdicts on the recipients of a claim come to. The one place that decides who is tried again, who is given
    /// up, and of whom the sender hears.
    fn conclude(
        &self,
        claim: Claim,
        mut outcomes: Vec<(usize, Outcome)>,
        ends: Vec<(usize, Verdict)>,
        began: Instant,
    ) -> Try {
        let now = self.now();
        let (mut attempts, mut late) = (0, Vec::new());
        let mut settlement = Settlement::Done;
        for (number, verdict) in ends {
            let Some((_, state)) = claim.states().iter().find(|(claimed, _)| *claimed == number) else { continue };
            let end = self.end(&claim, state, verdict, now);
            self.log(&claim, number, &end, began);
            let notify = claim.recipient(number).and_then(|recipient| recipient.parameters.notify);
            let owes = |case| owes(notify, &claim.envelope().reverse_path, case);
            match end {
                Verdict::Delivered(said) => {
                    outcomes.push((number, Outcome::Delivered(said.to_string(), owes(Case::Success))));
                }
                Verdict::PassedOn(said) => {
                    outcomes.push((number, Outcome::Delivered(said.to_string(), Owes::Nothing)));
                }
                // There is nobody to tell, and it may be a report that somebody waits for: it is kept for a look at it.
                Verdict::Failed(said) if claim.envelope().reverse_path == ReversePath::Null => {
                    log::error!("id={} status=held: it has no sender who could be told", claim.id());
                    outcomes.push((number, Outcome::Deferred(said.to_string())));
                    settlement = Settlement::Hold;
                }
                Verdict::Failed(said) => {
                    outcomes.push((number, Outcome::Failed(said.to_string(), owes(Case::Failure))));
                }
                Verdict::Deferred(said) => {
                    attempts = attempts.max(state.attempts.saturating_add(1));
                    if self.is_late(&claim, state, now) && owes(Case::Delay) == Owes::Report {
                        late.push((number, said.clone()));
                    }
                    outcomes.push((number, Outcome::Deferred(said.to_string())));
                }
            }
        }
        if attempts > 0 && settlement == Settlement::Done {
            let mut salt = DefaultHasher::new();
            claim.id().hash(&mut salt);
            settlement = Settlement::RetryAt(self.settings.schedule.next_try(attempts, now, salt.finish()));
        }
        let warning = if late.is_empty() { None } else { self.warn(&claim, &late, now, &mut outcomes) };
        Try { ended: Ended { claim, outcomes, settlement }, warning }
    }

    /// What a verdict means in the end: whoever was put off too often is given up.
    fn end(&self, claim: &Claim, state: &RecipientState, verdict: Verdict, now: i64) -> Verdict {
        let received_at = claim.envelope().received_at_unix_seconds;
        match verdict {
            Verdict::Deferred(Said { relay, text })
                if self.settings.schedule.is_over(received_at, state.attempts.saturating_add(1), now) =>
            {
                let age = age_in_words(now.saturating_sub(received_at));
                Verdict::Failed(Said { relay, text: format!("{GIVEN_UP}{age}; the last answer was: {text}") })
            }
            verdict => verdict,
        }
    }

    fn is_late(&self, claim: &Claim, state: &RecipientState, now: i64) -> bool {
        let received_at = claim.envelope().received_at_unix_seconds;
        state.warning != smtp_spool::Report::Made
            && self.settings.schedule.is_late(received_at, state.attempts.saturating_add(1), now)
    }

    /// One line for one recipient's end of this try.
    fn log(&self, claim: &Claim, number: usize, verdict: &Verdict, began: Instant) {
        let recipient = claim.recipient(number);
        if let (Some(observer), Some(recipient)) = (&self.observer, recipient) {
            observer(claim.id(), &recipient.forward_path, verdict);
        }
        let to = recipient.map(|recipient| recipient.forward_path.to_string()).unwrap_or_default();
        let said = verdict.said();
        let relay = said.relay.as_deref().unwrap_or("local");
        let status = match verdict {
            Verdict::Delivered(_) | Verdict::PassedOn(_) => "delivered",
            Verdict::Failed(_) => "failed",
            Verdict::Deferred(_) => "deferred",
        };
        let (id, delay) = (claim.id(), began.elapsed().as_secs_f64());
        log::info!(
            "id={id} to={} relay={relay} delay={delay:.4} status={status} reply={}",
            Quoted(to),
            Quoted(&said.text)
        );
    }

    /// A new id for a message of our own.
    pub(super) fn new_id(&self, now: i64) -> MessageId {
        self.ids.next(u64::try_from(now).unwrap_or(0).saturating_mul(1_000_000))
    }
}

/// The same verdict on all recipients of a claim.
fn alike(claim: &Claim, verdict: &Verdict) -> Vec<(usize, Verdict)> {
    claim.recipients().into_iter().map(|number| (number, verdict.clone())).collect()
}

fn owes(notify: Option<Notify>, reverse_path: &ReversePath, case: Case) -> Owes {
    if wants_report(notify, reverse_path, case) { Owes::Report } else { Owes::Nothing }
}

/// The lane to which all routes lead.
fn common_lane(routes: &[Route]) -> Option<&Lane> {
    let mut lanes = routes.iter().map(|route| match route {
        Route::To(lane) => Some(lane),
        Route::Instead(_) | Route::Nowhere(_) => None,
    });
    let first = lanes.next()??;
    lanes.all(|lane| lane == Some(first)).then_some(first)
}

/// In the largest unit of which there are two at least, so that nothing is said to have taken no days.
fn age_in_words(seconds: i64) -> String {
    [(24 * 3_600, "days"), (3_600, "hours"), (60, "minutes")]
        .into_iter()
        .find(|(unit_seconds, _)| seconds >= 2 * unit_seconds)
        .map_or_else(
            || format!("{seconds} seconds"),
            |(unit_seconds, name)| format!("{} {name}", seconds / unit_seconds),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages() {
        for (seconds, expected) in [
            (60, "60 seconds"),
            (3_600, "60 minutes"),
            (12 * 3_600, "12 hours"),
            (36 * 3_600, "36 hours"),
            (5 * 24 * 3_600 + 7, "5 days"),
        ] {
            assert_eq!(age_in_words(seconds), expected);
        }
    }
}
