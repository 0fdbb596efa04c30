// The CNI operations: one call of the plugin in, exit code and output out. Everything about the specification is decided
// here, against the CniBackend port. Invariants: the answer is always a result or a CNI error, never a rejection; an ADD
// that fails, or whose caller hung up, leaves nothing; DEL asks for nothing that may have vanished. CNI SPEC.md 1.1.0.

import type { Attachment, AttachRequest, CniBackend, ForeignIpam, NamespaceHandle } from './backend.ts';
import {
  type Call,
  type CniRequest,
  cniOwner,
  collect,
  describe,
  requireReadiness,
  staleKeys,
  stopIfCancelled,
} from './call.ts';
import { failures, withLeftOver } from './clean-up.ts';
import { parseCniArgs } from './cni-args.ts';
import { asCniError, CNI_CODE, CniError, formatCniError } from './cni-error.ts';
import { type ContainerWishes, readWishes } from './container-wishes.ts';
import { type CniEnvironment, parseEnvironment } from './environment.ts';
import { type CniOutcome, IpamPlugin, type PluginExec } from './ipam-plugin.ts';
import { runAsIpam } from './ipam-role.ts';
import type { JsonFields } from './json-fields.ts';
import { configVersion, parseConfigJson, parseNetworkConfig, requireVerb } from './network-config.ts';
import { prevResultFindings } from './prev-result.ts';
import { readPrevResult } from './result-read.ts';
import { formatResult } from './result-write.ts';
import { ABOUT_TEXT, atLeast, type CniVersion, versionReport } from './version.ts';

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
      : new IpamPlugin({ name: config.ipamPlugin, exec, stdin: request.stdin, version, config: config.fields });
  const key = { network: config.network, containerId, ifname };
  return { request, environment, version, config, key, backend, ipam, cancelled };
}

/** Resolves to what goes to stdout. */
function runVerb(call: Call): Promise<string> {
  if (call.config.calledAsIpam) return runAsIpam(call);
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
  const wishes = readWishes(call.config, parseCniArgs(call.environment.args));
  const prevResult = atLeast(call.version, '0.3.0') ? readPrevResult(call.config.fields, call.version) : null;
  const attachment = await attach(call, namespace, wishes);
  try {
    stopIfCancelled(call);
    const sandbox = call.environment.netns;
    const names = call.backend.nameService(call.config.network);
    return formatResult({ version: call.version, attachment, sandbox, dns: wishes.dns, names, prevResult });
  } catch (error) {
    const leftOver = await failures([() => call.backend.detach(call.key), () => giveBack(call)]);
    throw withLeftOver(error, leftOver);
  }
}

/**
 * A refused attach has rolled itself back. What a foreign IPAM plugin reserved for it is given back here, also when that plugin
 * failed (it may have reserved half), but not when it never ran: then the reservation, if any, is another attach's.
 */
async function attach(call: Call, namespace: NamespaceHandle, wishes: ContainerWishes): Promise<Attachment> {
  const { ipam } = call;
  let hasRun = false;
  const foreignIpam: ForeignIpam | null =
    ipam === null
      ? null
      : {
          plugin: ipam.name,
          obtain: () => {
            hasRun = true;
            return ipam.add();
          },
        };
  try {
    return await call.backend.attach(attachRequest(call, namespace, wishes, foreignIpam), call.cancelled);
  } catch (error) {
    throw withLeftOver(error, hasRun ? await failures([() => giveBack(call)]) : []);
  }
}

async function del(call: Call): Promise<string> {
  const errors = await failures([() => call.backend.detach(call.key), () => giveBack(call)]);
  if (errors[0] !== undefined) throw withLeftOver(errors[0], errors.slice(1));
  return '';
}

async function check(call: Call): Promise<string> {
  const namespace = requireNamespace(call);
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

async function collectGarbage(call: Call): Promise<string> {
  const stale = staleKeys(call, call.backend.listOwned(cniOwner(call.config.name)));
  await collect([
    ...stale.map((key) => () => call.backend.detach(key)),
    async () => {
      await call.ipam?.run('GC');
    },
  ]);
  return '';
}

async function status(call: Call): Promise<string> {
  requireReadiness(call.backend, call.config.network);
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

function attachRequest(
  { key, config }: Call,
  namespace: NamespaceHandle,
  wishes: ContainerWishes,
  foreignIpam: ForeignIpam | null,
): AttachRequest {
  return {
    ...key,
    owner: cniOwner(config.name),
    namespace,
    addresses: wishes.addresses,
    foreignIpam,
    mac: wishes.mac,
    name: wishes.name,
    ...(wishes.aliases.length === 0 ? {} : { aliases: wishes.aliases }),
    defaultRoute: wishes.defaultRoute,
    // The same list reaches a foreign plugin, which answers with it.
    routes: foreignIpam === null ? wishes.routes : [],
  };
}

async function giveBack(call: Call): Promise<void> {
  await call.ipam?.run('DEL');
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
