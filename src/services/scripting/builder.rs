//! Puts the tables of the sandbox together: functions, and views of tables that scripts share.

use super::host::Host;
use crate::sys::lua::{Kept, MainStack, Result, Stack, State};

/// What a sandbox is to have.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Functions that break out of it (`lua-enable-deprecated-api`).
    pub insecure: bool,
    /// It is for the functions of libraries, not for scripts.
    pub runs_functions: bool,
    /// The version of Redis that scripts are told.
    pub version: &'static str,
    /// Most memory that scripts may use, bytes.
    pub memory: usize,
}

/// Puts the tables together.
pub struct Builder<'s, 'h> {
    pub state: &'s State<'h>,
    pub host: &'h Host<'h>,
    pub stack: MainStack<'s>,
    /// `__newindex` of views.
    pub refuse: Kept,
}

impl<'h> Builder<'_, 'h> {
    /// Adds a function to a table.
    pub fn add<F>(&mut self, table: usize, name: &str, function: F) -> Result<()>
    where
        F: Fn(&'h Host<'h>, &mut Stack<'_>) -> Result<usize> + Copy + 'h,
    {
        let host = self.host;
        self.state.push_function(&mut self.stack, 0, move |stack| function(host, stack))?;
        self.stack.set_field(table, name.as_bytes())
    }

    /// The same of one that needs nothing but its arguments.
    pub fn add_plain<F>(&mut self, table: usize, name: &str, function: F) -> Result<()>
    where
        F: Fn(&mut Stack<'_>) -> Result<usize> + Copy + 'static,
    {
        self.stack.push_plain_function(0, function)?;
        self.stack.set_field(table, name.as_bytes())
    }

    /// Copies fields of one table to another.
    pub fn copy(&mut self, from: usize, to: usize, names: &[&str]) -> Result<()> {
        for name in names {
            self.stack.push_field(from, name.as_bytes())?;
            self.stack.set_field(to, name.as_bytes())?;
        }
        Ok(())
    }

    /// Replaces the topmost value, a table, by a view of it. Pushes the view's metatable, too.
    pub fn make_view(&mut self) -> Result<()> {
        let stack = &mut self.stack;
        let real = stack.count();
        stack.push_table(0, 0)?;
        stack.push_table(0, 2)?;
        stack.push_copy(real)?;
        stack.set_field(real + 2, b"__index")?;
        stack.push_kept(self.refuse)?;
        stack.set_field(real + 2, b"__newindex")?;
        stack.push_copy(real + 2)?;
        stack.set_metatable(real + 1)?;
        stack.push_copy(real)?;
        let kept = stack.keep()?;
        self.host.views.borrow_mut().push((stack.identity(real + 1), kept));
        for slot in [real, real + 1] {
            stack.push_copy(slot + 1)?;
            stack.replace(slot)?;
        }
        stack.truncate(real + 1);
        Ok(())
    }

    /// Replaces the topmost value, a table, by a view of it.
    pub fn view(&mut self) -> Result<()> {
        self.make_view()?;
        let count = self.stack.count();
        self.stack.truncate(count - 1);
        Ok(())
    }

    /// Takes the topmost value, a table, and sets a view of it as a field.
    pub fn set_view(&mut self, table: usize, name: &str) -> Result<()> {
        self.view()?;
        self.stack.set_field(table, name.as_bytes())
    }
}
