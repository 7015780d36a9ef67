//! Running a template: statements and variables. Expressions are in [`expression`], calls in [`call`].

mod call;
mod expression;

use std::rc::Rc;
use std::sync::Arc;

use crate::args::Args;
use crate::error::{Fail, at, invalid, too_much, unknown};
use crate::filters::filter;
use crate::meter::{Meter, Out};
use crate::sequence::items;
use crate::tree::{Body, CallBlock, Expr, For, Named, Statement, Target, Tree};
use crate::value::{DEEPEST, Form, Inner, List, Scope, Value};
use crate::{Now, print};

/// Renders a template with these variables.
pub(crate) fn render(tree: &Tree, variables: Scope, now: &dyn Fn() -> Now) -> Result<String, Fail> {
    if variables.iter().any(|(_, value)| value.depth() > DEEPEST) {
        return Err(too_much());
    }
    let mut renderer = Renderer {
        tree,
        now,
        scopes: vec![variables],
        base: 0,
        out: Out::default(),
        meter: Meter::new(),
    };
    renderer.run(&tree.body)?;
    Ok(renderer.out.into_string())
}

/// What comes after a statement.
enum Flow {
    Next,
    Break,
    Continue,
}

struct Renderer<'t> {
    tree: &'t Tree,
    now: &'t dyn Fn() -> Now,
    /// The outermost variables, those of the macros that are being called, and of the blocks inside of these.
    scopes: Vec<Scope>,
    /// Where the scopes of the innermost macro begin. Those between it and the outermost one are not its business.
    base: usize,
    out: Out,
    meter: Meter,
}

impl<'t> Renderer<'t> {
    fn run(&mut self, body: &'t Body) -> Result<Flow, Fail> {
        self.meter.enter()?;
        for (line, statement) in body {
            let flow = self.statement(statement);
            match flow.map_err(|error| at(error, *line))? {
                Flow::Next => {}
                flow => {
                    self.meter.leave();
                    return Ok(flow);
                }
            }
        }
        self.meter.leave();
        Ok(Flow::Next)
    }

    /// Runs a body with variables of its own.
    fn run_inside(&mut self, scope: Scope, body: &'t Body) -> Result<Flow, Fail> {
        self.scopes.push(scope);
        let flow = self.run(body)?;
        self.scopes.pop();
        Ok(flow)
    }

    fn statement(&mut self, statement: &'t Statement) -> Result<Flow, Fail> {
        self.meter.spend(1)?;
        match statement {
            Statement::Text(text) => self.out.push(text)?,
            Statement::Output(expr) => {
                let value = self.value(expr)?;
                print::text(&value, &mut self.out)?;
            }
            Statement::If {
                branches,
                otherwise,
            } => return self.branch(branches, otherwise),
            Statement::For(each) => return self.each(each),
            Statement::Set(target, expr) => {
                let value = self.value(expr)?;
                self.assign(target, value)?;
            }
            Statement::SetBlock(target, filters, body) => match self.captured(filters, body)? {
                Ok(value) => self.assign(target, value)?,
                Err(flow) => return Ok(flow),
            },
            Statement::FilterBlock(filters, body) => match self.captured(filters, body)? {
                Ok(value) => print::text(&value, &mut self.out)?,
                Err(flow) => return Ok(flow),
            },
            Statement::With(variables, body) => return self.with(variables, body),
            Statement::Macro(index) => self.define(*index)?,
            Statement::Call(block) => self.call_block(block)?,
            Statement::Break => return Ok(Flow::Break),
            Statement::Continue => return Ok(Flow::Continue),
            Statement::Unsupported(name) => {
                return Err(unknown("the statement", name));
            }
        }
        Ok(Flow::Next)
    }

    fn branch(&mut self, branches: &'t [(Expr, Body)], otherwise: &'t Body) -> Result<Flow, Fail> {
        for (condition, body) in branches {
            if self.value(condition)?.is_true() {
                return self.run(body);
            }
        }
        self.run(otherwise)
    }

    fn each(&mut self, each: &'t For) -> Result<Flow, Fail> {
        let value = self.value(&each.items)?;
        let mut items = items(&value, &self.meter)?;
        if let Some(condition) = &each.condition {
            items = self.chosen(&items, each, condition)?;
        }
        if items.items.is_empty() {
            return self.run_inside(Vec::new(), &each.otherwise);
        }
        let name = Arc::from("loop");
        for (index, item) in items.items.iter().enumerate() {
            self.meter.spend(1)?;
            let items = Rc::clone(&items);
            let state = Value::object(Inner::Loop { items, index });
            self.scopes.push(vec![(Arc::clone(&name), state)]);
            self.assign(&each.target, item.clone())?;
            let flow = self.run(&each.body)?;
            self.scopes.pop();
            if matches!(flow, Flow::Break) {
                break;
            }
        }
        Ok(Flow::Next)
    }

    /// The items for which a loop's condition holds.
    fn chosen(
        &mut self,
        items: &List,
        each: &'t For,
        condition: &'t Expr,
    ) -> Result<Rc<List>, Fail> {
        let mut chosen = Vec::new();
        for item in &items.items {
            self.meter.spend(1)?;
            self.scopes.push(Vec::new());
            self.assign(&each.target, item.clone())?;
            if self.value(condition)?.is_true() {
                chosen.push(item.clone());
            }
            self.scopes.pop();
        }
        Ok(List::new(Form::Stream, chosen))
    }

    fn with(&mut self, variables: &'t [(Target, Expr)], body: &'t Body) -> Result<Flow, Fail> {
        let mut values = Vec::new();
        for (target, expr) in variables {
            values.push((target, self.value(expr)?));
        }
        self.scopes.push(Vec::new());
        for (target, value) in values {
            self.assign(target, value)?;
        }
        let flow = self.run(body)?;
        self.scopes.pop();
        Ok(flow)
    }

    /// What a body prints, filtered; or how it ends the loop around it. Its variables are its own.
    fn captured(
        &mut self,
        filters: &'t [Named],
        body: &'t Body,
    ) -> Result<Result<Value, Flow>, Fail> {
        let inner = Out::inside(&self.out);
        let outer = std::mem::replace(&mut self.out, inner);
        let flow = self.run_inside(Vec::new(), body)?;
        let text = std::mem::replace(&mut self.out, outer);
        let mut value = self.made(text.into_value())?;
        if !matches!(flow, Flow::Next) {
            return Ok(Err(flow));
        }
        for named in filters {
            let args = self.args(&named.arguments)?;
            let made = filter(&named.name, &value, args, &self.meter);
            value = made
                .and_then(|value| self.made(value))
                .map_err(|error| at(error, named.line))?;
        }
        Ok(Ok(value))
    }

    fn define(&mut self, index: usize) -> Result<(), Fail> {
        let Some(definition) = self.tree.macros.get(index) else {
            return Ok(());
        };
        let value = self.macro_value(index)?;
        self.bind(&definition.name, value)
    }

    /// A macro sees the outermost variables as they are when it is called, and what is around it as it is now.
    fn macro_value(&mut self, index: usize) -> Result<Value, Fail> {
        let around = self.scopes.get(self.base.max(1)..).unwrap_or_default();
        let captured = around.concat();
        self.meter.spend(captured.len())?;
        let depths = captured.iter().map(|(_, value)| match value {
            Value::Object(object) => match object.0 {
                Inner::Macro { depth, .. } => depth,
                _ => 0,
            },
            _ => 0,
        });
        let depth = depths.max().unwrap_or(0) + 1;
        if depth > DEEPEST {
            return Err(too_much());
        }
        Ok(Value::object(Inner::Macro {
            index,
            captured,
            depth,
        }))
    }

    fn call_block(&mut self, block: &'t CallBlock) -> Result<(), Fail> {
        let callee = self.value(&block.callee)?;
        let mut args: Args = self.args(&block.arguments)?;
        let caller = self.macro_value(block.caller)?;
        args.named.push((Arc::from("caller"), caller));
        let value = self.call(&callee, args)?;
        let value = self.made(value)?;
        print::text(&value, &mut self.out)
    }

    /// Gives a name a value in the innermost scope.
    fn bind(&mut self, name: &Arc<str>, value: Value) -> Result<(), Fail> {
        if let Some(scope) = self.scopes.last_mut() {
            self.meter.spend(scope.len() / 8)?;
            set(scope, name, value);
        }
        Ok(())
    }

    fn assign(&mut self, target: &'t Target, value: Value) -> Result<(), Fail> {
        match target {
            Target::Name(name) => self.bind(name, value)?,
            Target::Attribute(object, name) => match self.lookup(object)? {
                Value::Object(object) => match &object.0 {
                    // What can be deeper than this, or hold the namespace itself, has no end.
                    Inner::Namespace(_) if value.depth() >= DEEPEST => return Err(held()),
                    Inner::Namespace(fields) => {
                        self.meter.spend(fields.borrow().len() / 8)?;
                        set(&mut fields.borrow_mut(), name, value);
                    }
                    _ => return Err(invalid(&["only a namespace has attributes to set"])),
                },
                _ => return Err(invalid(&["only a namespace has attributes to set"])),
            },
            Target::Tuple(targets) => {
                let values = items(&value, &self.meter)?;
                if values.items.len() != targets.len() {
                    return Err(invalid(&["there are not as many values as names for them"]));
                }
                for (target, value) in targets.iter().zip(&values.items) {
                    self.assign(target, value.clone())?;
                }
            }
        }
        Ok(())
    }

    fn lookup(&self, name: &str) -> Result<Value, Fail> {
        let inner = self.scopes.iter().skip(self.base.max(1)).rev();
        let scopes = inner.chain(self.scopes.first());
        for scope in scopes {
            self.meter.spend(scope.len() / 8)?;
            let found = scope.iter().rev().find(|(other, _)| **other == *name);
            if let Some((_, value)) = found {
                return Ok(value.clone());
            }
        }
        Ok(call::function(name))
    }

    /// Takes the steps that it costs to make a value, which must not hold what would never end.
    fn made(&self, value: Value) -> Result<Value, Fail> {
        self.meter.weigh(&value)?;
        if value.depth() > DEEPEST {
            return Err(held());
        }
        Ok(value)
    }
}

/// Too many levels; or one level that has no levels.
fn held() -> Fail {
    crate::error::unsupported(&[
        "a function, a loop or a namespace inside of another value, or too many levels of values,",
    ])
}

fn set(scope: &mut Scope, name: &Arc<str>, value: Value) {
    match scope.iter_mut().find(|(other, _)| other == name) {
        Some((_, old)) => *old = value,
        None => scope.push((Arc::clone(name), value)),
    }
}
