// `fabric setup`: what of this host's other programs shall use fabric. Each part is installed only when it is asked for, and
// `--remove` takes it back. Files come to their place by rename, so that no runtime ever reads half of one; one that is not ours
// is neither replaced nor removed.

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { FabricError } from '../../base/errors.ts';
import { INSTALLATION } from '../../host/installation.ts';
import { DaemonClient } from '../client.ts';
import { installFile, removeFile } from '../install-file.ts';
import { unitText } from '../systemd-unit.ts';

interface Removable {
  readonly remove?: boolean;
}

const CONFLIST_NAME = '10-fabric.conflist';
const UNIT_NAME = 'fabric.service';
/** Where systemd says that it runs (sd_booted(3)). */
const SYSTEMD_RUNS = '/run/systemd/system';

/** Docker finds its plugin by the socket that the daemon opens: nothing of Docker's own files is touched. */
export async function setupDocker({ runDir, remove = false }: Removable & { readonly runDir: string }): Promise<void> {
  await new DaemonClient(runDir).post('/v1/docker', { enabled: !remove });
  say(
    remove
      ? 'fabric is no plugin of Docker any more'
      : 'Docker finds the drivers fabric (network and IPAM) now, and after each launch. On every host:\n' +
          '    docker network create -d fabric --ipam-driver fabric fabric',
  );
}

/** The plugin first: a runtime that sees the configuration runs it at once; the other way round when both go. */
export function setupCni({
  confDir,
  binDir,
  remove = false,
}: Removable & { readonly confDir: string; readonly binDir: string }): void {
  const plugin = join(binDir, 'fabric');
  const conflist = join(confDir, CONFLIST_NAME);
  const isOurs = (text: string): boolean => text.includes('"type": "fabric"') || text.includes('"type":"fabric"');
  if (remove) {
    report(conflist, removeFile(conflist, isOurs));
    report(plugin, removeFile(plugin, isPlugin));
    return;
  }
  report(
    plugin,
    installFile(plugin, { content: readFileSync(join(INSTALLATION, 'bin/cni/fabric')), mode: 0o755, isOurs: isPlugin }),
  );
  const hasPortmap = existsSync(join(binDir, 'portmap'));
  report(conflist, installFile(conflist, { content: conflistText(hasPortmap), mode: 0o644, isOurs, keep: true }));
  if (!hasPortmap)
    say(`there is no portmap in ${binDir}: published ports (hostPort) need it, and an entry in ${conflist}`);
}

/** Starts nothing: the daemon may run already, and a host that is no member of a cluster is not to found one by a boot. */
export function setupSystemd({
  unitDir,
  stateDir,
  runDir,
  remove = false,
}: Removable & { readonly unitDir: string; readonly stateDir: string; readonly runDir: string }): void {
  const unit = join(unitDir, UNIT_NAME);
  const isOurs = (text: string): boolean => text.includes('Description=fabric overlay network');
  if (remove) report(unit, removeFile(unit, isOurs));
  else {
    const command = [process.execPath, join(INSTALLATION, 'dist/src/cli/main.js')];
    const content = unitText({ command, stateDir, runDir });
    report(unit, installFile(unit, { content, mode: 0o644, isOurs }));
  }
  if (existsSync(SYSTEMD_RUNS)) reloadSystemd();
  if (!remove) say('once this host is a member of its cluster:\n    systemctl enable --now fabric');
}

function conflistText(hasPortmap: boolean): string {
  const fabric = { type: 'fabric', capabilities: { ips: true, mac: true, aliases: true, ipRanges: true, dns: true } };
  const portmap = { type: 'portmap', capabilities: { portMappings: true } };
  const list = { cniVersion: '1.0.0', name: 'fabric', plugins: hasPortmap ? [fabric, portmap] : [fabric] };
  return `${JSON.stringify(list, null, 2)}\n`;
}

function reloadSystemd(): void {
  const { status, stderr } = spawnSync('systemctl', ['daemon-reload'], { encoding: 'utf8' });
  if (status === 0) return;
  throw new FabricError('internal', { what: 'systemd did not read its units again', why: (stderr ?? '').trim() });
}

/** By what each of its versions holds. */
function isPlugin(content: string): boolean {
  return content.startsWith('\u007fELF') && content.includes('FABRIC_RUN_DIR');
}

function report(path: string, outcome: string): void {
  say(`${path}: ${outcome}`);
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
