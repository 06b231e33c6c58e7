import { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import { ReactWidget } from '@jupyterlab/ui-components';
import React from 'react';

/** The fields of an output; the author of a notebook may have written anything. */
export class OutputFields {
  constructor(private readonly data: Readonly<Record<string, unknown>>) {}

  static from(value: unknown): OutputFields {
    return new OutputFields(typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {});
  }

  text(name: string): string {
    const value = this.data[name];
    return typeof value === 'string' ? value : '';
  }

  number(name: string): number | null {
    const value = this.data[name];
    return typeof value === 'number' && Number.isFinite(value) ? value : null;
  }

  texts(name: string): string[] {
    const value = this.data[name];
    return Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string') : [];
  }
}

/** A sentence of the service, in which names and commands stand between backticks. */
export function Prose(props: { text: string }): JSX.Element {
  return (
    <>
      {props.text.split('`').map((part, index) => (index % 2 ? <code key={index}>{part}</code> : part))}
    </>
  );
}

/** Shows one kind of output with React, which escapes what it shows. */
class OutputRenderer extends ReactWidget implements IRenderMime.IRenderer {
  constructor(
    private readonly mimeType: string,
    private readonly view: (fields: OutputFields) => JSX.Element
  ) {
    super();
    this.addClass('aizen-output');
  }

  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    this.fields = OutputFields.from(model.data[this.mimeType]);
    this.update();
    await this.renderPromise;
  }

  protected render(): JSX.Element {
    return this.fields === null ? <></> : this.view(this.fields);
  }

  private fields: OutputFields | null = null;
}

/** Returns a factory for one media type; safe in notebooks that are not trusted, since nothing in them is executed. */
export function outputFactory(
  mimeType: string,
  view: (fields: OutputFields) => JSX.Element
): IRenderMime.IRendererFactory {
  return {
    safe: true,
    mimeTypes: [mimeType],
    createRenderer: options => new OutputRenderer(options.mimeType, view)
  };
}
