// `fabric launch`: checks the flags, takes the token out of every place where others could see it, and runs the daemon here
// or, with --detach, in a child that outlives this command.

import { readFileSync } from 'node:fs';
import { isatty } from 'node:tty';
import { FabricError } from '../../base/errors.ts';
import { parseToken } from '../../base/token.ts';
import { checkLaunchFlags, type LaunchFlags } from '../../daemon/launch-options.ts';
import { nodeCrypto } from '../../host/node-crypto.ts';
import { CNI_BIN_DIR, CNI_CONF_DIR } from '../default-places.ts';
import { usageError } from '../exit.ts';
import { firstLineOf } from '../first-line.ts';

interface Flags extends LaunchFlags {
  readonly token?: string;
  readonly tokenFile?: string;
  readonly detach?: boolean;
  readonly setupCni?: boolean;
}

export async function launch(flags: Flags): Promise<void> {
  const argv = process.argv.slice(2);
  process.title = 'fabric launch'; // overwrites argv in memory, so that no token stays in /proc/PID/cmdline
  const token = await takeToken(flags);
  const options = checkLaunchFlags(flags, token);
  // A mistyped token is told before anything is opened or locked
  if (token !== null && options.joins.length > 0) parseToken(token, nodeCrypto);
  if (process.getuid?.() !== 0) {
    throw new FabricError('not-root', {
      what: 'fabric launch needs root',
      why: 'it makes a bridge, interfaces and firewall rules',
      fix: 'Run it with sudo',
    });
  }
  if (flags.detach === true) return (await import('../detach.ts')).launchDetached({ argv, token, options });
  const { runDaemon } = await import('../../daemon/main.ts');
  await runDaemon(options, flags.setupCni === true ? await cniInstaller() : () => undefined);
}

async function cniInstaller(): Promise<() => void> {
  const { setupCni } = await import('./setup.ts');
  return () => setupCni({ confDir: CNI_CONF_DIR, binDir: CNI_BIN_DIR });
}

/** From the flag, a file, standard input or the environment; the environment is cleared so that no child inherits it. */
async function takeToken({ token, tokenFile }: Flags): Promise<string | null> {
  const fromEnvironment = process.env.FABRIC_TOKEN;
  delete process.env.FABRIC_TOKEN;
  if (token !== undefined && tokenFile !== undefined) throw usageError('--token and --token-file are both given');
  if (token !== undefined) return token.trim();
  if (tokenFile !== undefined) return readTokenFile(tokenFile);
  return fromEnvironment?.trim() ?? null;
}

async function readTokenFile(path: string): Promise<string> {
  if (path === '-' && isatty(0)) process.stderr.write('paste the token, then press Enter:\n');
  try {
    return path === '-' ? await firstLineOf(process.stdin) : readFileSync(path, 'utf8').trim();
  } catch (error) {
    throw new FabricError('token-missing', {
      what: `the token file ${path} can't be read`,
      why: (error as Error).message,
    });
  }
}
