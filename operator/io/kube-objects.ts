/**
 * The library's API of objects of any kind (it asks the server where each kind is), with what that leaves out:
 * subresources, the queries of each verb, a time limit, and answers as they are. Its own are turned into classes, in
 * which fields that a newer server knows get lost and times become dates, unlike in what a watch tells.
 */
import {
  KubernetesObjectApi,
  type KubernetesObject,
  type HttpMethod,
  type RequestContext,
  V1ObjectMeta,
} from '@kubernetes/client-node';

const ANSWER_MS_MAX = 30_000;

export interface Kind {
  apiVersion: string;
  kind: string;
}

export interface Ask {
  query?: Record<string, string | undefined>;
  body?: unknown;
  contentType?: string;
}

export interface Answer {
  status: number;
  text: string;
}

type Verb = 'create' | 'list' | 'read';

export class KubeObjects extends KubernetesObjectApi {
  /** Path of a kind's objects, for `read` of one of them; undefined where the server has no such kind. */
  async path(verb: Verb, { apiVersion, kind }: Kind, namespace?: string, name?: string): Promise<string | undefined> {
    if ((await this.resource(apiVersion, kind)) === undefined) return undefined;
    const metadata = new V1ObjectMeta();
    if (namespace !== undefined) metadata.namespace = namespace;
    if (name !== undefined) metadata.name = name;
    return this.specUriPath({ apiVersion, kind, metadata }, verb);
  }

  /** Kinds come and go. */
  forgetKinds(): void {
    this.apiVersionResourceCache = {};
  }

  async ask(method: HttpMethod, path: string, { query = {}, body, contentType }: Ask): Promise<Answer> {
    const context = this.configuration.baseServer.makeRequestContext(path, method);
    context.setHeaderParam('Accept', 'application/json');
    for (const [name, value] of Object.entries(query)) if (value !== undefined) context.setQueryParam(name, value);
    if (body !== undefined) {
      context.setHeaderParam('Content-Type', contentType ?? 'application/json');
      context.setBody(JSON.stringify(body));
    }
    context.setSignal(AbortSignal.timeout(ANSWER_MS_MAX));
    await this.configuration.authMethods.default?.applySecurityAuthentication(context);
    const answer = await this.configuration.httpApi.send(context).toPromise();
    return { status: answer.httpStatusCode, text: await answer.body.text() };
  }

  protected override requestPromise<T extends KubernetesObject>(context: RequestContext, type?: string): Promise<T> {
    context.setSignal(AbortSignal.timeout(ANSWER_MS_MAX));
    return super.requestPromise(context, type);
  }
}
