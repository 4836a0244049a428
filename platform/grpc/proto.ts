import { loadPackageDefinition, type ServiceClientConstructor, type ServiceDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

/** The services of one package of a .proto file, by name. */
export type ProtoPackage = {
  readonly services: ReadonlyMap<string, { definition: ServiceDefinition; client: ServiceClientConstructor }>;
};

/**
 * Loads a .proto file (its imports are looked for beside it and in `includeDirs`). Names stay as written, enums are
 * their names, absent fields have their defaults, and 64-bit integers are numbers (exact up to 2^53).
 */
export function loadProto(protoPath: string, packageName: string, includeDirs: string[] = []): ProtoPackage {
  const loaded = loadSync(protoPath, {
    keepCase: true,
    longs: Number,
    enums: String,
    defaults: true,
    oneofs: true,
    includeDirs,
  });
  const services = new Map<string, { definition: ServiceDefinition; client: ServiceClientConstructor }>();
  let level: unknown = loadPackageDefinition(loaded);
  for (const part of packageName.split('.')) level = (level as Record<string, unknown> | undefined)?.[part];
  for (const [name, entry] of Object.entries((level as Record<string, unknown> | undefined) ?? {})) {
    const client = entry as Partial<ServiceClientConstructor>;
    if (typeof entry === 'function' && client.service) {
      services.set(name, { definition: client.service, client: entry as ServiceClientConstructor });
    }
  }
  if (services.size === 0) throw new Error(`${protoPath}: expected services in package ${packageName}, found none`);
  return { services };
}

/** Throws, naming those there are, when the package has no such service. */
export function serviceOf(proto: ProtoPackage, name: string, protoPath: string) {
  const service = proto.services.get(name);
  if (!service)
    throw new Error(`${protoPath}: expected a service ${name}, found ${[...proto.services.keys()].join(', ')}`);
  return service;
}
