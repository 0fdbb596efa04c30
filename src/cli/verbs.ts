// What the fabric command understands, as plain facts read from commander's tree: the one source of completion scripts, manual
// page and docs/cli.md, so that none of them can differ from what the command does.

import type { Argument, Command, Option } from 'commander';

export interface OptionFacts {
  /** As in the help: '--join <host[:port]>'. */
  readonly flags: string;
  /** '--join'; null for an option that has a letter only. */
  readonly long: string | null;
  readonly description: string;
  /** What its value is called, 'file' for example; null when it takes none. */
  readonly value: string | null;
  readonly choices: readonly string[];
}

export interface ArgumentFacts {
  /** As in the help: '<namespace>', '[ip...]'. */
  readonly term: string;
  readonly description: string;
  readonly choices: readonly string[];
}

export interface VerbFacts {
  /** Words behind `fabric`: ['dns', 'add']. */
  readonly path: readonly string[];
  readonly description: string;
  readonly arguments: readonly ArgumentFacts[];
  /** Without those of `everywhere`. */
  readonly options: readonly OptionFacts[];
}

export interface ProgramFacts {
  readonly introduction: string;
  /** Verbs that do something, in the order of the help; those of a group follow each other. */
  readonly verbs: readonly VerbFacts[];
  /** Options that most verbs have, those that speak to the daemon. */
  readonly everywhere: readonly OptionFacts[];
}

export function describeProgram(program: Command): ProgramFacts {
  const verbs = visible(program).flatMap((command) => verbsOf(command, []));
  const all = new Map(verbs.flatMap(({ options }) => options).map((option) => [option.flags, option]));
  const users = (flags: string): number =>
    verbs.filter(({ options }) => options.some((option) => option.flags === flags)).length;
  const everywhere = [...all.values()].filter(({ flags }) => users(flags) * 2 > verbs.length);
  const common = new Set(everywhere.map(({ flags }) => flags));
  return {
    introduction: program.description(),
    everywhere,
    verbs: verbs.map((verb) => ({ ...verb, options: verb.options.filter(({ flags }) => !common.has(flags)) })),
  };
}

function verbsOf(command: Command, above: readonly string[]): readonly VerbFacts[] {
  const path = [...above, command.name()];
  const below = visible(command);
  if (below.length > 0) return below.flatMap((one) => verbsOf(one, path));
  const help = command.createHelp();
  return [
    {
      path,
      description: command.description(),
      arguments: command.registeredArguments.map(argumentFacts),
      options: help
        .visibleOptions(command)
        .filter(({ long }) => long !== '--help')
        .map(optionFacts),
    },
  ];
}

function visible(command: Command): readonly Command[] {
  return command
    .createHelp()
    .visibleCommands(command)
    .filter((one) => one.name() !== 'help');
}

function optionFacts(option: Option): OptionFacts {
  const takesValue = option.required || option.optional;
  return {
    flags: option.flags,
    long: option.long ?? null,
    description: option.description,
    value: takesValue ? (/[<[]([^\]>]+)[\]>]/.exec(option.flags)?.[1] ?? 'value') : null,
    choices: option.argChoices ?? [],
  };
}

/** Words that stand in for a list of choices, as in 'peers|tunnels', are choices, too. */
function argumentFacts(argument: Argument): ArgumentFacts {
  const name = `${argument.name()}${argument.variadic ? '...' : ''}`;
  const listed = /^[a-z0-9-]+(\|[a-z0-9-]+)+$/.test(argument.description) ? argument.description.split('|') : [];
  return {
    term: argument.required ? `<${name}>` : `[${name}]`,
    description: argument.description,
    choices: argument.argChoices ?? listed,
  };
}
