//! The commands that a script calls: which it may, and their calls.

use super::Run;
use crate::engine::Engine;
use crate::engine::acl::Context;
use crate::engine::clients::session::Role;
use crate::engine::command::spec::flag;
use crate::engine::command::table::CommandId;
use crate::resp::{Args, CommandError, Reply};
use crate::services::scripting::{Exchange, Input, Targets};

impl Engine {
    /// Executes the request of a script's `redis.call`.
    pub(super) fn call_for_script(
        &mut self,
        run: &mut Run,
        exchange: &mut Exchange,
        resp3: bool,
        targets: Targets,
    ) -> Input {
        let mut bytes = std::mem::take(&mut exchange.reply);
        bytes.clear();
        let args = exchange.args();
        let id = match self.admit_for_script(run, args) {
            Ok(id) => id,
            Err((id, error)) => {
                if let Some(id) = id {
                    self.metrics.stats.commands[id.0 as usize].rejected += 1;
                }
                let code = if error.as_bytes().starts_with(b"-") { &error.code()[1..] } else { b"ERR" };
                self.metrics.stats.error(code);
                // The script may catch it.
                self.frame.call.ignore_error();
                bytes.extend_from_slice(error.as_bytes());
                exchange.reply = bytes;
                return Input::Refuse;
            }
        };
        if self.commands.get(id).flags & flag::WRITE != 0 {
            run.has_written = true;
        }
        if run.slots.is_some() {
            self.sample_call_of_script(&mut run.slots, id, args);
        }
        let mut reply = Reply::new(bytes, resp3);
        self.frame.targets = targets;
        // An error is in the reply.
        let _ = self.call(run.client, id, args, &mut reply);
        self.frame.targets = Targets::ALL;
        self.notify_so_far(run.client);
        exchange.reply = reply.into_bytes();
        Input::Reply
    }

    /// The command of a script's request, if it may be called now. The error is a text without a code, or `-` and a text with
    /// one.
    fn admit_for_script(
        &mut self,
        run: &mut Run,
        args: Args<'_>,
    ) -> Result<CommandId, (Option<CommandId>, CommandError)> {
        let Ok(id) = self.commands.resolve(args.at(0), args.get(1)) else {
            return Err((None, CommandError::text("Unknown Redis command called from script")));
        };
        let command = self.commands.get(id);
        let refused = |error| Err((Some(id), error));
        if !command.spec.accepts(args.len()) {
            return refused(CommandError::text("Wrong number of args calling Redis command from script"));
        }
        if command.flags & flag::NOSCRIPT != 0 && !self.scripting.may_call_all {
            return refused(CommandError::text("This Redis command is not allowed from script"));
        }
        if self.is_restricted(run.client, command.flags)
            && let Err(error) = self.check_rights(run.client, id, args)
        {
            if let Some(text) = error.as_bytes().strip_prefix(b"NOPERM ") {
                self.note_refusal(run.client, id, args, Context::Script);
                return refused(CommandError::new([b"ACL failure in script: ", text].concat()));
            }
            return refused(coded(&error));
        }
        if self.settings.hides_data && command.flags & flag::STALE == 0 {
            return refused(CommandError::text("Can not execute the command on a stale replica"));
        }
        let (command_flags, writes) = (command.flags, command.flags & flag::WRITE != 0);
        if self.settings.is_cluster
            && command_flags & flag::ROUTED != 0
            && let Err(text) = self.check_route_of_script(run, id, args)
        {
            return refused(CommandError::new(text));
        }
        let command = self.commands.get(id);
        if run.read_only && command.flags & (flag::WRITE | flag::MAY_REPLICATE) != 0 {
            return refused(CommandError::text("Write commands are not allowed from read-only scripts."));
        }
        let obeys = self.clients.sessions.live(run.client).role != Role::Normal;
        if run.has_written || obeys {
            return Ok(id);
        }
        if writes && self.settings.is_read_only {
            return refused(coded(&CommandError::READ_ONLY));
        }
        if writes
            && self.persistence.restricts
            && let Some(error) = self.disk_error()
        {
            return refused(coded(&error));
        }
        if writes && self.lacks_replicas() {
            return refused(coded(&CommandError::NO_REPLICAS));
        }
        if command.flags & flag::DENYOOM != 0 {
            if run.is_short_of_memory && !run.allows_oom {
                return refused(coded(&CommandError::OOM));
            }
            if self.data.is_full {
                return refused(coded(&CommandError::KEYSPACE_FULL));
            }
        }
        if self.clients.quotas.limits_storage
            && let Some(error) = self.refuse_storage(run.client, id, args, command_flags)
        {
            return refused(coded(&error));
        }
        Ok(id)
    }

    /// Whether the keys of a script's request are served here, and of the slot that its others were of.
    fn check_route_of_script(&self, run: &mut Run, id: CommandId, args: Args<'_>) -> Result<(), String> {
        let command = self.commands.get(id);
        if self.clients.sessions.live(run.client).role != Role::Normal {
            return Ok(());
        }
        let slot = self
            .route(run.client, id, args, command.flags)
            .map_err(|reason| reason.in_script(&command.name))?;
        if let Err(error) = self.check_sort_patterns(id, args) {
            return Err(String::from_utf8_lossy(coded(&error).as_bytes()).into_owned());
        }
        if !run.may_cross
            && let Some(slot) = slot
            && *run.slot.get_or_insert(slot) != slot
        {
            return Err("Script attempted to access keys that do not hash to the same slot".into());
        }
        Ok(())
    }

    /// `redis.acl_check_cmd`.
    pub(super) fn check_rights_for_script(&self, run: &Run, exchange: &mut Exchange) -> Input {
        let args = exchange.args();
        let error = match self.commands.resolve(args.at(0), args.get(1)) {
            Err(_) => "Invalid command passed to redis.acl_check_cmd()",
            Ok(id) if !self.commands.get(id).spec.accepts(args.len()) => {
                "Wrong number of args for redis.acl_check_cmd()"
            }
            Ok(id) => return Input::Rights(Some(self.check_rights(run.client, id, args).is_ok())),
        };
        exchange.reply.clear();
        exchange.reply.extend_from_slice(error.as_bytes());
        Input::Rights(None)
    }

    /// The error of a script that declares itself while writes are refused.
    pub(super) fn script_disk_error(&self) -> Option<CommandError> {
        if !self.persistence.restricts {
            return None;
        }
        let error = self.disk_error()?;
        let advice = "Writable scripts are blocked. Use 'no-writes' flag for read only scripts.";
        Some(if error.as_bytes().starts_with(b"MISCONF Redis is configured to save RDB") {
            CommandError::new(format!(
                "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. {advice}"
            ))
        } else {
            CommandError::new(format!(
                "MISCONF Redis is configured to persist data to AOF, but it's currently unable to persist to disk. \
                 {advice} AOF error: {}",
                self.persistence.aof.write_error
            ))
        })
    }
}

/// An error with its code, as a script is told it.
fn coded(error: &CommandError) -> CommandError {
    CommandError::new([b"-", error.as_bytes()].concat())
}
