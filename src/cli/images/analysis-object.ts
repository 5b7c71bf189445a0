import type { AnalyzedImage, FileTotal, SecretFinding } from '../../analysis/analysis.ts'

/**
 * An analysis as JSON and templates have it: names as docker writes its objects, sizes in bytes, `Efficiency` and
 * `UserWasted` from 0 to 1. Of `waste` the first `top`, all without it.
 */
export function analysisObject({ name, platform, digest, id, analysis }: AnalyzedImage, top?: number): object {
  const instructionOf = (layer: number | undefined): string => analysis.layers[(layer ?? 0) - 1]?.instruction ?? ''
  return {
    Name: name,
    Platform: platform,
    ID: id,
    Digest: digest,
    Size: analysis.size,
    Stored: totalObject(analysis.stored),
    Visible: totalObject(analysis.visible),
    UserBytes: analysis.userBytes,
    WastedBytes: analysis.wastedBytes,
    UserWasted: analysis.userWasted,
    Efficiency: analysis.efficiency,
    Layers: analysis.layers.map((layer) => ({
      Number: layer.number,
      Digest: layer.digest ?? '',
      DiffID: layer.diffId,
      Created: layer.created,
      Instruction: layer.instruction,
      Size: layer.size,
      Added: totalObject(layer.added),
      Changed: totalObject(layer.changed),
      Removed: totalObject(layer.removed),
      WastedBytes: layer.wastedBytes,
    })),
    Waste: analysis.waste.slice(0, top).map(({ kind, path, bytes, files, layer, origin, detail, advice }) => ({
      Kind: kind,
      Path: path,
      Bytes: bytes,
      Files: files,
      Layer: layer,
      Instruction: instructionOf(layer),
      Origin: origin,
      Detail: detail,
      Advice: advice,
    })),
    Secrets: analysis.secrets.map((secret) => secretObject(secret, instructionOf(secret.layer))),
    Samples: analysis.samples.map((secret) => secretObject(secret, instructionOf(secret.layer))),
    Permissions: analysis.permissions.map(({ kind, path, layer, mode, uid, gid, capabilities }) => ({
      Kind: kind,
      Path: path,
      Layer: layer,
      Instruction: instructionOf(layer),
      Mode: mode.toString(8).padStart(4, '0'),
      UID: uid,
      GID: gid,
      Capabilities: capabilities,
    })),
    Unsearched: analysis.unsearched,
  }
}

function totalObject({ files, bytes }: FileTotal): object {
  return { Files: files, Bytes: bytes }
}

function secretObject(secret: SecretFinding, instruction: string): object {
  const { rule, title, level, path, layer, layers, line, offset, field, name, redacted, isVisible } = secret
  return {
    Rule: rule,
    Title: title,
    Level: level,
    Path: path ?? '',
    Layer: layer ?? 0,
    Layers: layers,
    Instruction: instruction,
    Line: line ?? 0,
    Offset: offset ?? 0,
    Field: field ?? '',
    Name: name ?? '',
    Redacted: redacted,
    Visible: isVisible,
  }
}
