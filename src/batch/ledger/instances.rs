//! The ledger's pages on instances: EC2 forgets them an hour after their end, the bill must not.

use jiff::Timestamp;
use rusqlite::{Row, params};

use super::{Batch, Ledger, time, whole};
use crate::error::Result;

/// One instance as the cloud listed it just now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    pub id: String,
    /// The tag `muck:kind`: `worker` or `builder`.
    pub kind: String,
    pub instance_type: String,
    pub launched: Timestamp,
    /// Not stopped and not terminated.
    pub alive: bool,
    /// When it ended, if the cloud says so.
    pub ended: Option<Timestamp>,
    /// Size of its volumes in GiB.
    pub volume_gib: u64,
    /// It has a public IPv4 address.
    pub public_ip: bool,
}

/// One instance as the ledger remembers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenInstance {
    pub id: String,
    pub kind: String,
    pub instance_type: String,
    pub launched: Timestamp,
    /// When it ended: as the cloud says, else as its log says; for one that vanished unseen, when it was last seen
    /// alive.
    pub ended: Option<Timestamp>,
    /// The end is not known, only that it was not before `ended`.
    pub end_is_a_guess: bool,
    pub volume_gib: u64,
    pub public_ip: bool,
}

impl Ledger {
    /// Writes down a whole listing of the stack's instances made at `now`: those that are listed no
    /// more have ended.
    pub fn saw_instances(&self, sightings: &[Sighting], now: Timestamp) -> Result<()> {
        let mut connection = self.connection();
        let mut write = || -> rusqlite::Result<()> {
            let change = connection.transaction()?;
            // Whoever is in the listing and alive is set back below.
            change.execute(
                "UPDATE instances SET gone = 1 WHERE place = ?1",
                [self.place],
            )?;
            for seen in sightings {
                change.execute(
                    "INSERT INTO instances (place, id, kind, type, launched, seen, ended, gone, volume_gib, public_ip)
                     VALUES (?1, ?2, ?3, ?4, ?5, CASE WHEN ?8 THEN ?5 ELSE ?6 END, ?7, ?8, ?9, ?10)
                     ON CONFLICT (place, id) DO UPDATE SET
                     seen = CASE WHEN excluded.gone THEN seen ELSE ?6 END,
                     ended = ifnull(ended, excluded.ended), gone = excluded.gone,
                     volume_gib = max(volume_gib, excluded.volume_gib),
                     public_ip = max(public_ip, excluded.public_ip)",
                    params![
                        self.place, seen.id, seen.kind, seen.instance_type, seen.launched.as_millisecond(),
                        now.as_millisecond(), seen.ended.map(Timestamp::as_millisecond), !seen.alive,
                        whole(seen.volume_gib), seen.public_ip
                    ],
                )?;
            }
            change.commit()
        };
        write().map_err(|error| self.failure(error))
    }

    /// All instances of the stack that ended in the second of `since` or later, or live. EC2 tells whole seconds, so an
    /// instance that began and ended just after `since` may seem to have ended before it.
    pub fn instances(&self, since: Timestamp) -> Result<Vec<SeenInstance>> {
        let connection = self.connection();
        let read = || -> rusqlite::Result<Vec<SeenInstance>> {
            // A status message written by an instance proves that it lived then.
            let mut statement = connection.prepare(
                "SELECT i.id, i.kind, i.type, i.launched, i.ended, i.gone, i.volume_gib, i.public_ip,
                 max(i.seen, ifnull((SELECT max(j.service_write) FROM jobs j JOIN batches b ON b.id = j.batch
                 WHERE b.place = i.place AND j.instance = i.id), 0)),
                 (SELECT w.at FROM last_words w WHERE w.place = i.place AND w.instance = i.id AND w.at >= i.launched)
                 FROM instances i WHERE i.place = ?1 ORDER BY i.launched, i.id",
            )?;
            statement.query_map([self.place], instance)?.collect()
        };
        let all = read().map_err(|error| self.failure(error))?;
        Ok(all
            .into_iter()
            .filter(|one| {
                one.ended
                    .is_none_or(|ended| ended.as_second() >= since.as_second())
            })
            .collect())
    }
}

impl Ledger {
    /// Writes down when instances stored their logs.
    pub fn heard_last(&self, logs: &[(String, Timestamp)]) -> Result<()> {
        let mut connection = self.connection();
        let mut write = || -> rusqlite::Result<()> {
            let change = connection.transaction()?;
            for (instance, at) in logs {
                change.execute(
                    "INSERT INTO last_words (place, instance, at) VALUES (?1, ?2, ?3)
                     ON CONFLICT (place, instance) DO UPDATE SET at = max(at, excluded.at)",
                    params![self.place, instance, at.as_millisecond()],
                )?;
            }
            change.commit()
        };
        write().map_err(|error| self.failure(error))
    }

    /// Writes down that these instances reach S3 through a NAT gateway.
    pub fn are_behind_nat<'i>(&self, instances: impl Iterator<Item = &'i str>) -> Result<()> {
        let mut connection = self.connection();
        let write = || -> rusqlite::Result<()> {
            let change = connection.transaction()?;
            for instance in instances {
                change.execute(
                    "INSERT OR IGNORE INTO behind_nat (place, instance) VALUES (?1, ?2)",
                    params![self.place, instance],
                )?;
            }
            change.commit()
        };
        write().map_err(|error| self.failure(error))
    }

    /// Bytes that went through a NAT gateway for a batch: inputs to, and outputs from, the instances behind one that
    /// did its jobs. A job that was tried more than once counts once.
    pub fn nat_bytes(&self, batch: &Batch) -> Result<u64> {
        self.connection()
            .query_row(
                // Not `sum`: see `stored_bytes`.
                "SELECT CAST(total(j.size + (SELECT total(o.size) FROM outputs o WHERE o.job = j.id)) AS INTEGER)
                 FROM jobs j JOIN behind_nat n ON n.instance = j.instance AND n.place = ?1 WHERE j.batch = ?2",
                [self.place, batch.id],
                |row| Ok(row.get::<_, i64>(0)?.unsigned_abs()),
            )
            .map_err(|error| self.failure(error))
    }
}

/// How long an instance took from its launch to its first message.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct FirstRead {
    pub instance: String,
    /// Launch as EC2 tells it, reading as the worker's status message tells it: whole seconds both.
    pub seconds: u64,
}

impl Ledger {
    /// Of each instance that did a job of the batch: the first message that it read at all. Messages tell it, so it is
    /// known when the instance is long gone.
    pub fn first_reads(&self, batch: &Batch) -> Result<Vec<FirstRead>> {
        let connection = self.connection();
        let read = || -> rusqlite::Result<Vec<FirstRead>> {
            let mut statement = connection.prepare(
                "SELECT i.id, min(j.service_read) - i.launched
                 FROM instances i JOIN jobs j ON j.instance = i.id JOIN batches b ON b.id = j.batch
                 WHERE i.place = ?1 AND b.place = ?1 AND j.service_read IS NOT NULL
                 AND i.id IN (SELECT instance FROM jobs WHERE batch = ?2)
                 GROUP BY i.id ORDER BY i.launched, i.id",
            )?;
            statement
                .query_map([self.place, batch.id], |row| {
                    let millis: i64 = row.get(1)?;
                    Ok(FirstRead {
                        instance: row.get(0)?,
                        // A clock that runs behind EC2's must not make a launch negative.
                        seconds: u64::try_from(millis).unwrap_or(0) / 1000,
                    })
                })?
                .collect()
        };
        read().map_err(|error| self.failure(error))
    }
}

fn instance(row: &Row<'_>) -> rusqlite::Result<SeenInstance> {
    let ended: Option<i64> = row.get(4)?;
    let gone: bool = row.get(5)?;
    let last_seen: i64 = row.get(8)?;
    let last_words: Option<i64> = row.get(9)?;
    // A log is stored at the end only: of one that is still listed as alive, it is the end too.
    let ended = ended.or(last_words.filter(|_| gone));
    let end_is_a_guess = gone && ended.is_none();
    Ok(SeenInstance {
        id: row.get(0)?,
        kind: row.get(1)?,
        instance_type: row.get(2)?,
        launched: time(row.get(3)?),
        ended: ended.or(end_is_a_guess.then_some(last_seen)).map(time),
        end_is_a_guess,
        volume_gib: row.get::<_, i64>(6)?.unsigned_abs(),
        public_ip: row.get(7)?,
    })
}
