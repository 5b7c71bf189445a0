import type { BlockCompressor } from '../compression/compress.ts'
import { type LayerRecord, listLayerForms } from '../content/layer-records.ts'
import type { Lease } from '../content/leases.ts'
import type { Store } from '../content/store.ts'
import { CairnError } from '../errors/error.ts'
import type { Digest } from '../oci/digest.ts'
import type { ImageForm } from './output.ts'

export interface FormingOptions {
  readonly store: Store
  readonly lease: Lease
  /** Compresses blocks on threads; on this one if absent. */
  readonly compressor?: BlockCompressor | undefined
  readonly concurrency?: number | undefined
  readonly signal: AbortSignal
  /** Told of each layer that is compressed. */
  readonly onCompress?: (diffId: Digest) => void
}

/** A layer in one form, with what its descriptor is annotated with. Its diff ID is another one as eStargz. */
export interface FormedLayer extends Pick<LayerRecord, 'diffId' | 'digest' | 'size' | 'compression'> {
  readonly annotations?: Readonly<Record<string, string>>
}

/**
 * A layer as `form` wants it, made where it is not there yet; without one, as the store has it. What a layer became once
 * it becomes again. Throws BLOB_UNKNOWN where the store has not the layer, CANCELED, and what writing throws.
 */
export async function formLayer(
  diffId: Digest,
  form: Pick<ImageForm, 'compression' | 'level'> | undefined,
  options: FormingOptions,
): Promise<FormedLayer> {
  const { store } = options
  const forms = listLayerForms(store, diffId)
  const [first] = forms
  if (first === undefined) throw new CairnError('BLOB_UNKNOWN', `layer ${diffId} is not in the store`)
  const format = form?.compression
  if (form === undefined || format === undefined) return first
  if (format === 'none') {
    const plain = forms.find(({ compression }) => compression === 'none')
    if (plain !== undefined) return plain
  }
  const { makeForm } = await import('./make-form.ts')
  return await makeForm(first, format, form.level, options)
}
