// The CNI operations: one call of the plugin in, exit code and output out. Everything about the specification is decided
// here, against the CniBackend port. Invariants: the answer is always a result or a CNI error, never a rejection; an ADD
// that fails, or whose caller hung up, leaves nothing; DEL asks for nothing that may have vanished. CNI SPEC.md 1.1.0.

import { formatIp } from '../base/address.ts';
import { FabricError } from '../base/errors.ts';
import { readAttachments } from './attachment-list.ts';
import type { Attachment, AttachmentKey, AttachRequest, CniBackend, NamespaceHandle } from './backend.ts';
import { parseCniArgs } from './cni-args.ts';
import { asCniError, CNI_CODE, CniError, formatCniError } from './cni-error.ts';
import { type ContainerWishes, readWishes } from './container-wishes.ts';
import { type CniEnvironment, parseEnvironment } from './environment.ts';
import { type CniOutcome, type IpamGrant, IpamPlugin, type PluginExec } from './ipam-plugin.ts';
import type { JsonFields } from './json-fields.ts';
import {
  configVersion,
  type NetworkConfig,
  parseConfigJson,
  parseNetworkConfig,
  requireVerb,
} from './network-config.ts';
import { type CniResult, readPrevResult } from './result-read.ts';
import { formatResult } from './result-write.ts';
import { ABOUT_TEXT, atLeast, type CniVersion, versionReport } from './version.ts';

export interface CniRequest {
  /** The CNI_* variables. */
  readonly env: Readonly<Record<string, string>>;
  readonly stdin: Uint8Array;
  /** CNI_NETNS, opened by the shim; null where it is empty or could not be opened. */
  readonly namespace: NamespaceHandle | null;
  /** Why CNI_NETNS could not be opened; empty otherwise. */
  readonly namespaceFault: string;
  /** The network namespace that the shim runs in; null when it could not tell. */
  readonly callerNamespace: { readonly dev: bigint; readonly ino: bigint } | null;
}

/** One validated call; what the verbs share. */
interface Call {
  readonly request: CniRequest;
  readonly environment: CniEnvironment;
  readonly version: CniVersion;
  readonly config: NetworkConfig;
  readonly key: AttachmentKey;
  readonly backend: CniBackend;
  /** Null where our own address management serves. */
  readonly ipam: IpamPlugin | null;
  readonly cancelled: AbortSignal;
}

/** GC removes by this, see {@link AttachRequest.owner}. */
export function cniOwner(networkName: string): string {
  return `cni:${networkName}`;
}

/**
 * Serves one call. Never rejects. `cancelled` fires when the caller hangs up. `exec` runs a foreign IPAM plugin for the
 * caller; null where there is none to run it, as for a deferred DEL: its shim ran the plugin's DEL before it recorded.
 */
export async function handleCni(
  request: CniRequest,
  backend: CniBackend,
  cancelled: AbortSignal,
  exec: PluginExec | null = null,
): Promise<CniOutcome> {
  let version: CniVersion | null = null;
  try {
    const environment = parseEnvironment(request.env);
    if (environment === null) return { exitCode: 0, stdout: '', stderr: ABOUT_TEXT };
    if (environment.verb === 'VERSION') return success(versionReport(askedVersion(request.stdin)));
    const fields = parseConfigJson(request.stdin);
    version = configVersion(fields);
    requireVerb(environment.verb, version);
    return success(await runVerb(prepare({ request, environment, version, fields, backend, cancelled, exec })));
  } catch (error) {
    const cniError = asCniError(error);
    return { exitCode: 1, stdout: formatCniError(cniError, version), stderr: '' };
  }
}

function prepare(parts: {
  request: CniRequest;
  environment: CniEnvironment;
  version: CniVersion;
  fields: JsonFields;
  backend: CniBackend;
  cancelled: AbortSignal;
  exec: PluginExec | null;
}): Call {
  const { request, environment, version, backend, cancelled, exec } = parts;
  const config = parseNetworkConfig(parts.fields);
  const { containerId, ifname, verb } = environment;
  if (config.ipamPlugin !== null && exec === null && verb !== 'DEL') {
    throw new CniError(CNI_CODE.notImplemented, `no way to run the IPAM plugin ${config.ipamPlugin} from here`);
  }
  const ipam =
    config.ipamPlugin === null || exec === null
      ? null
      : new IpamPlugin({ name: config.ipamPlugin, exec, stdin: request.stdin, version });
  const key = { network: config.network, containerId, ifname };
  return { request, environment, version, config, key, backend, ipam, cancelled };
}

/** Resolves to what goes to stdout. */
function runVerb(call: Call): Promise<string> {
  switch (call.environment.verb) {
    case 'ADD':
      return add(call);
    case 'DEL':
      return del(call);
    case 'CHECK':
      return check(call);
    case 'GC':
      return collectGarbage(call);
    case 'STATUS':
      return status(call);
    case 'VERSION':
      return Promise.resolve(versionReport(call.version));
  }
}

async function add(call: Call): Promise<string> {
  const namespace = requireNamespace(call);
  const args = parseCniArgs(call.environment.args);
  const wishes = readWishes(call.config, args);
  refuseIpamRole(call.config);
  const prevResult = atLeast(call.version, '0.3.0') ? readPrevResult(call.config.fields, call.version) : null;
  if (call.backend.find(call.key) !== null) throw alreadyAttached(call.key);
  const grant = await reserve(call);
  const attachment = await attach(call, attachRequest(call, namespace, wishes, grant));
  try {
    if (call.cancelled.aborted) throw new CniError(CNI_CODE.tryAgainLater, 'the caller hung up during ADD');
    const sandbox = call.environment.netns;
    return formatResult({ version: call.version, attachment, sandbox, dns: wishes.dns, prevResult });
  } catch (error) {
    const leftOver = await failures([() => call.backend.detach(call.key), () => giveBack(call)]);
    throw withLeftOver(error, leftOver);
  }
}

/** Null without a foreign IPAM plugin. One that fails may have reserved half: it is told to give back. */
async function reserve(call: Call): Promise<IpamGrant | null> {
  if (call.ipam === null) return null;
  try {
    return await call.ipam.add();
  } catch (error) {
    throw withLeftOver(error, await failures([() => giveBack(call)]));
  }
}

/** A refused attach has rolled itself back; what the IPAM plugin reserved for it remains for us. */
async function attach(call: Call, request: AttachRequest): Promise<Attachment> {
  try {
    return await call.backend.attach(request, call.cancelled);
  } catch (error) {
    // Lost a race against an ADD of the same key: the reservation is the winner's.
    if (error instanceof FabricError && error.code === 'attachment-exists') throw error;
    throw withLeftOver(error, await failures([() => giveBack(call)]));
  }
}

async function del(call: Call): Promise<string> {
  const errors = await failures([() => call.backend.detach(call.key), () => giveBack(call)]);
  if (errors[0] !== undefined) throw withLeftOver(errors[0], errors.slice(1));
  return '';
}

async function check(call: Call): Promise<string> {
  const namespace = requireNamespace(call);
  refuseIpamRole(call.config);
  const prevResult = readPrevResult(call.config.fields, call.version);
  if (prevResult === null) throw new CniError(CNI_CODE.config, 'required prevResult missing');
  const attachment = call.backend.find(call.key);
  if (attachment === null) {
    throw new CniError(CNI_CODE.unknownContainer, `${describe(call.key)} is not attached`);
  }
  await call.ipam?.run('CHECK');
  const findings = [
    ...prevResultFindings(prevResult, attachment),
    ...(await call.backend.check(call.key, namespace)).map(({ what }) => what),
  ];
  if (findings.length > 0) {
    throw new CniError(CNI_CODE.checkFailed, `CHECK of ${describe(call.key)} failed`, findings.join('; '));
  }
  return '';
}

/** Later plugins of the chain may add to a result and change links; what we gave must still be in it. */
function prevResultFindings(prevResult: CniResult, attachment: Attachment): readonly string[] {
  const findings: string[] = [];
  if (!prevResult.interfaces.some(({ name, sandbox }) => name === attachment.ifname && sandbox !== '')) {
    findings.push(`prevResult lacks the container's interface ${attachment.ifname}`);
  }
  const listed = new Set(prevResult.ips.map(({ ip }) => formatIp(ip)));
  for (const { address } of attachment.addresses) {
    const bare = address.split('/')[0] ?? address;
    if (!listed.has(bare)) findings.push(`prevResult lacks the address ${address}`);
  }
  return findings;
}

async function collectGarbage(call: Call): Promise<string> {
  const valid = new Set(readAttachments(call.config.fields).map(slot));
  const stale = call.backend.listOwned(cniOwner(call.config.name)).filter((key) => !valid.has(slot(key)));
  const errors = await failures([
    ...stale.map((key) => () => call.backend.detach(key)),
    async () => {
      await call.ipam?.run('GC');
    },
  ]);
  if (errors.length > 0) {
    throw new CniError(CNI_CODE.gcIncomplete, `GC left ${errors.length} undone`, errors.map(sentence).join('; '));
  }
  return '';
}

async function status(call: Call): Promise<string> {
  refuseIpamRole(call.config);
  const trouble = call.backend.readiness();
  if (trouble !== null) {
    const code = trouble.degraded ? CNI_CODE.limited : CNI_CODE.notAvailable;
    throw new CniError(
      code,
      trouble.degraded ? 'fabric is degraded' : 'fabric can not attach containers',
      trouble.reason,
    );
  }
  await call.ipam?.run('STATUS');
  return '';
}

/** The namespace of ADD and CHECK: opened, and not the plugin's own. Nothing has been changed before. */
function requireNamespace({ request, environment }: Call): NamespaceHandle {
  const { namespace, callerNamespace, namespaceFault } = request;
  if (namespace === null) {
    const why = namespaceFault === '' ? 'the plugin handed none over' : namespaceFault;
    throw new CniError(CNI_CODE.environment, `can not open CNI_NETNS ${JSON.stringify(environment.netns)}`, why);
  }
  const own = namespace.dev === callerNamespace?.dev && namespace.ino === callerNamespace.ino;
  if (own && environment.verb === 'ADD' && !environment.netnsOverride) {
    throw new CniError(
      CNI_CODE.environment,
      "plugin's netns and netns from CNI_NETNS should not be the same",
      'set CNI_NETNS_OVERRIDE=1 if this is meant',
    );
  }
  return namespace;
}

function refuseIpamRole(config: NetworkConfig): void {
  if (!config.calledAsIpam) return;
  const type = JSON.stringify(config.fields.value('type'));
  throw new CniError(CNI_CODE.unsupportedField, `not supported yet: ipam.type = "fabric" behind type = ${type}`);
}

function attachRequest(
  { key, config }: Call,
  namespace: NamespaceHandle,
  wishes: ContainerWishes,
  grant: IpamGrant | null,
): AttachRequest {
  return {
    ...key,
    owner: cniOwner(config.name),
    namespace,
    ips: grant?.ips ?? wishes.ips,
    ipamPlugin: config.ipamPlugin,
    mac: wishes.mac,
    name: wishes.name,
    defaultRoute: wishes.defaultRoute,
    routes: grant?.routes ?? wishes.routes,
  };
}

async function giveBack(call: Call): Promise<void> {
  await call.ipam?.run('DEL');
}

/** Does every step in order, whatever the others do, and gives what they failed with. */
async function failures(steps: readonly (() => Promise<void>)[]): Promise<readonly CniError[]> {
  const errors: CniError[] = [];
  for (const step of steps) {
    try {
      await step();
    } catch (error) {
      errors.push(asCniError(error));
    }
  }
  return errors;
}

/** The error that is answered, with what went wrong while cleaning up after it. */
function withLeftOver(error: unknown, leftOver: readonly CniError[]): CniError {
  const cause = asCniError(error);
  if (leftOver.length === 0) return cause;
  const details = [cause.details, ...leftOver.map((next) => `also: ${sentence(next)}`)].filter((text) => text !== '');
  return new CniError(cause.code, cause.message, details.join('; '));
}

function sentence({ message, details }: CniError): string {
  return details === '' ? message : `${message} (${details})`;
}

function alreadyAttached(key: AttachmentKey): CniError {
  return new CniError(CNI_CODE.attachmentExists, `${describe(key)} is attached already`, 'DEL it before another ADD');
}

function describe({ network, containerId, ifname }: AttachmentKey): string {
  return `${ifname} of container ${containerId} on network ${network}`;
}

function slot({ containerId, ifname }: { readonly containerId: string; readonly ifname: string }): string {
  // Neither may hold a slash.
  return `${containerId}/${ifname}`;
}

function success(stdout: string): CniOutcome {
  return { exitCode: 0, stdout, stderr: '' };
}

/** VERSION works with an empty or odd stdin, so nothing here is an error. */
function askedVersion(stdin: Uint8Array): string | null {
  try {
    const asked = parseConfigJson(stdin).value('cniVersion');
    return typeof asked === 'string' && asked !== '' ? asked : null;
  } catch (error) {
    if (error instanceof CniError) return null;
    throw error;
  }
}
