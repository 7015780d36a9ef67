//! What expressions are worth.

use std::sync::Arc;

use super::Renderer;
use crate::args::Args;
use crate::error::{Fail, at, invalid, unknown, unsupported};
use crate::filters::filter;
use crate::meter::Out;
use crate::operate::{compute, relate};
use crate::print;
use crate::sequence::{attribute, check_key, item, slice};
use crate::tests::test;
use crate::tree::{Arguments, Expr, Kind, Named, Operator};
use crate::value::{Form, Number, Value, number, same_key};

impl<'t> Renderer<'t> {
    pub(super) fn value(&mut self, expr: &'t Expr) -> Result<Value, Fail> {
        self.meter.enter()?;
        let value = self
            .kind(&expr.kind)
            .map_err(|error| at(error, expr.line))?;
        self.meter.leave();
        Ok(value)
    }

    fn kind(&mut self, kind: &'t Kind) -> Result<Value, Fail> {
        match kind {
            Kind::None => Ok(Value::None),
            Kind::Bool(value) => Ok(Value::Bool(*value)),
            Kind::Int(value) => Ok(Value::Int(*value)),
            Kind::Float(value) => Ok(Value::Float(*value)),
            Kind::Text(text) => Ok(Value::Text(Arc::clone(text))),
            Kind::Name(name) => self.lookup(name),
            Kind::List(items) => self.sequence(Form::List, items),
            Kind::Tuple(items) => self.sequence(Form::Tuple, items),
            Kind::Map(entries) => self.map(entries),
            Kind::Attribute(of, name) => self.attribute(of, name),
            Kind::Item(of, key) => self.item(of, key),
            Kind::Slice(of, parts) => self.slice(of, parts),
            Kind::Call(callee, arguments) => self.called(callee, arguments),
            Kind::Filter(subject, named) => self.filter(subject, named),
            Kind::Test(subject, named) => self.test(subject, named),
            Kind::Not(operand) => Ok(Value::Bool(!self.value(operand)?.is_true())),
            Kind::Negative(operand) => self.signed(operand, true),
            Kind::Positive(operand) => self.signed(operand, false),
            Kind::Chain(first, rest) => self.chain(first, rest),
            Kind::Compare(first, rest) => self.compare(first, rest),
            Kind::Concat(operands) => self.concat(operands),
            Kind::And(operands) => self.until(operands, false),
            Kind::Or(operands) => self.until(operands, true),
            Kind::If(parts) => self.choose(parts),
            Kind::Unsupported(what) => Err(unsupported(&[*what])),
        }
    }

    fn sequence(&mut self, form: Form, items: &'t [Expr]) -> Result<Value, Fail> {
        let mut values = Vec::with_capacity(items.len());
        for item in items {
            values.push(self.value(item)?);
        }
        self.made(Value::sequence(form, values))
    }

    fn map(&mut self, entries: &'t [(Expr, Expr)]) -> Result<Value, Fail> {
        let mut made: Vec<(Value, Value)> = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let (key, value) = (self.value(key)?, self.value(value)?);
            check_key(&key)?;
            self.meter.look(made.len(), &key)?;
            match made.iter_mut().find(|(other, _)| same_key(other, &key)) {
                Some((_, old)) => *old = value,
                None => made.push((key, value)),
            }
        }
        self.made(Value::map(made))
    }

    fn attribute(&mut self, of: &'t Expr, name: &str) -> Result<Value, Fail> {
        let value = self.value(of)?;
        if value.is_undefined() {
            return Err(undefined(of));
        }
        attribute(&value, name, &self.meter)
    }

    fn item(&mut self, of: &'t Expr, key: &'t Expr) -> Result<Value, Fail> {
        let (value, key) = (self.value(of)?, self.value(key)?);
        if value.is_undefined() {
            return Err(undefined(of));
        }
        item(&value, &key, &self.meter)
    }

    fn slice(&mut self, of: &'t Expr, parts: &'t [Option<Expr>; 3]) -> Result<Value, Fail> {
        let value = self.value(of)?;
        let mut bounds = [const { Value::None }; 3];
        for (bound, part) in bounds.iter_mut().zip(parts) {
            if let Some(part) = part {
                *bound = self.value(part)?;
            }
        }
        self.made(slice(&value, &bounds, &self.meter)?)
    }

    pub(super) fn args(&mut self, arguments: &'t Arguments) -> Result<Args, Fail> {
        let mut args = Args::default();
        for expr in &arguments.positional {
            args.positional.push(self.value(expr)?);
        }
        for (name, expr) in &arguments.named {
            args.named.push((Arc::clone(name), self.value(expr)?));
        }
        args.weigh(&self.meter)?;
        Ok(args)
    }

    fn called(&mut self, callee: &'t Expr, arguments: &'t Arguments) -> Result<Value, Fail> {
        let function = self.value(callee)?;
        let args = self.args(arguments)?;
        if let (Value::Undefined, Kind::Name(name) | Kind::Attribute(_, name)) =
            (&function, &callee.kind)
        {
            return Err(unknown("the function", name));
        }
        let value = self.call(&function, args)?;
        self.made(value)
    }

    fn filter(&mut self, subject: &'t Expr, named: &'t Named) -> Result<Value, Fail> {
        let value = self.value(subject)?;
        let args = self.args(&named.arguments)?;
        let made = filter(&named.name, &value, args, &self.meter)?;
        self.made(made)
    }

    fn test(&mut self, subject: &'t Expr, named: &'t Named) -> Result<Value, Fail> {
        let value = self.value(subject)?;
        let args = self.args(&named.arguments)?;
        test(&named.name, &value, args, &self.meter).map(Value::Bool)
    }

    fn signed(&mut self, operand: &'t Expr, negative: bool) -> Result<Value, Fail> {
        let value = self.value(operand)?;
        match number(&value) {
            Some(Number::Int(value)) => {
                let signed = if negative {
                    value.checked_neg()
                } else {
                    Some(value)
                };
                let signed =
                    signed.ok_or_else(|| unsupported(&["an integer of more than 64 bits"]))?;
                Ok(Value::Int(signed))
            }
            Some(Number::Float(value)) => Ok(Value::Float(if negative { -value } else { value })),
            None => Err(invalid(&[value.kind(), " has no sign"])),
        }
    }

    fn chain(&mut self, first: &'t Expr, rest: &'t [(Operator, Expr)]) -> Result<Value, Fail> {
        let mut value = self.value(first)?;
        for (operator, operand) in rest {
            let operand = self.value(operand)?;
            let made = compute(*operator, &value, &operand, &self.meter)?;
            value = self.made(made)?;
        }
        Ok(value)
    }

    fn compare(&mut self, first: &'t Expr, rest: &'t [(Operator, Expr)]) -> Result<Value, Fail> {
        let mut left = self.value(first)?;
        for (operator, operand) in rest {
            let right = self.value(operand)?;
            if !relate(*operator, &left, &right, &self.meter)? {
                return Ok(Value::Bool(false));
            }
            left = right;
        }
        Ok(Value::Bool(true))
    }

    fn concat(&mut self, operands: &'t [Expr]) -> Result<Value, Fail> {
        let mut out = Out::default();
        for operand in operands {
            print::text(&self.value(operand)?, &mut out)?;
        }
        self.made(out.into_value())
    }

    /// `and` and `or`: the first operand that decides, or the last.
    fn until(&mut self, operands: &'t [Expr], decides: bool) -> Result<Value, Fail> {
        let mut value = Value::Undefined;
        for operand in operands {
            value = self.value(operand)?;
            if value.is_true() == decides {
                break;
            }
        }
        Ok(value)
    }

    fn choose(&mut self, parts: &'t (Expr, Expr, Option<Expr>)) -> Result<Value, Fail> {
        let (condition, then, otherwise) = parts;
        if self.value(condition)?.is_true() {
            return self.value(then);
        }
        match otherwise {
            Some(otherwise) => self.value(otherwise),
            None => Ok(Value::Undefined),
        }
    }
}

/// Something asked of an expression that has no value.
fn undefined(expr: &Expr) -> Fail {
    let name = match &expr.kind {
        Kind::Name(name) | Kind::Attribute(_, name) => name,
        Kind::Item(_, key) => match &key.kind {
            Kind::Text(name) => name,
            _ => return invalid(&["an item is undefined"]),
        },
        _ => return invalid(&["a value is undefined"]),
    };
    invalid(&["`", name, "` is undefined"])
}
