"""What visitors of the repository look for: workflows, forms, hooks and the citation say what is there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from book_project import ROOT
from pybtex.database import parse_file

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TARGETS = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)


def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_there_are_workflows_for_tests_book_and_release() -> None:
    assert [path.stem for path in WORKFLOWS] == ["book", "release", "tests"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_runs_what_there_is_and_may_no_more_than_it_needs(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 180
        assert set(job.get("needs", "").split()) <= set(workflow["jobs"])
    for step in steps(workflow):
        assert ("uses" in step) != ("run" in step)
        if "uses" in step:
            assert re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"])
        for target in re.findall(r"make (\w+)", step.get("run", "")):
            assert target in TARGETS
        for file in re.findall(r"(?:^|\s)((?:\.ci|book)/[\w./-]+)", step.get("run", "")):
            assert (ROOT / file).exists() or file.startswith("build/"), file


def test_hooks_run_tools_that_are_there() -> None:
    (repo,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repo["repo"] == "local"
    for hook in repo["hooks"]:
        tool, name = hook["entry"].split()[:2]
        assert (ROOT / tool).stat().st_mode & 0o100
        assert subprocess.run([ROOT / tool, name, "--version"], capture_output=True, check=False).returncode == 0, name


def test_a_tool_without_a_virtual_environment_comes_from_the_path(tmp_path: Path) -> None:
    copy = tmp_path / ".ci" / "tool"
    copy.parent.mkdir()
    copy.write_bytes((ROOT / ".ci" / "tool").read_bytes())
    copy.chmod(0o755)
    found = subprocess.run([copy, "echo", "here"], capture_output=True, text=True, check=True)
    assert found.stdout == "here\n"
    lost = subprocess.run([copy, "no-such-tool"], capture_output=True, text=True, check=False)
    assert lost.returncode == 1
    assert "no-such-tool is neither in .venv nor on the path; run 'make test' once" in lost.stderr


def test_nothing_is_misspelt() -> None:
    done = subprocess.run([ROOT / ".ci" / "tool", "codespell"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_citation_and_the_bibliography_name_the_paper_alike() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    paper = citation["references"][0]
    entry = parse_file(ROOT / "book" / "references.bib").entries["zhou2025page4d"]
    assert paper["title"] == entry.fields["title"].replace("{", "").replace("}", "")
    assert str(paper["year"]) == entry.fields["year"]
    assert f"{paper['start']}--{paper['end']}" == entry.fields["pages"]
    people = [f"{person['family-names']}, {person['given-names']}" for person in paper["authors"]]
    assert people == [str(person) for person in entry.persons["author"]]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", str(citation["date-released"]))


def test_generated_files_are_marked() -> None:
    files = ["notebooks/01_quickstart.ipynb", "constraints.txt", "page4d/schema.py"]
    command = ["git", "check-attr", "linguist-generated", *files]
    marked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [line.rsplit(": ", 1)[1] for line in marked] == ["set", "set", "unspecified"]
    assets = [f"page4d/viz/viewer_assets/{name}" for name in ("three.min.js", "LICENSE-three.txt", "viewer.js")]
    command = ["git", "check-attr", "linguist-vendored", *assets]
    marked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [line.rsplit(": ", 1)[1] for line in marked] == ["set", "set", "unspecified"]


CONTAINER = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name", "build"],
    "properties": {
        "name": {"type": "string"},
        "build": {"type": "object", "required": ["dockerfile"], "additionalProperties": {"type": "string"}},
        "hostRequirements": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "gpu": {"enum": [True, False, "optional"]},
                "memory": {"type": "string", "pattern": "^[0-9]+[tgmk]b$"},
            },
        },
        "remoteUser": {"type": "string"},
        "postCreateCommand": {"type": "string"},
        "customizations": {"type": "object", "required": ["vscode"]},
    },
}
"""The part of the dev container specification's schema that ours uses, written down from its reference."""


def test_the_dev_container_says_what_its_specification_knows_and_files_that_are_there() -> None:
    folder = ROOT / ".devcontainer"
    stored = json.loads((folder / "devcontainer.json").read_text())
    jsonschema.validate(stored, CONTAINER)
    dockerfile = (folder / stored["build"]["dockerfile"]).resolve()
    assert dockerfile == ROOT / "Dockerfile"
    assert (folder / stored["build"]["context"]).resolve() == ROOT
    lines = dockerfile.read_text()
    assert f"--create-home {stored['remoteUser']}\n" in lines
    python = stored["customizations"]["vscode"]["settings"]["python.defaultInterpreterPath"]
    assert python.removesuffix("/bin/python") in lines, "the environment that the Dockerfile makes"


FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
KINDS = {
    "github-workflows": WORKFLOWS,
    "github-issue-forms": [path for path in FORMS if path.stem != "config"],
    "github-issue-config": [path for path in FORMS if path.stem == "config"],
}


@pytest.mark.slow
@pytest.mark.parametrize("schema", KINDS)
def test_files_for_github_obey_its_schemas(schema: str) -> None:
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        f"vendor.{schema}",
        *map(str, KINDS[schema]),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert KINDS[schema]
    assert done.returncode == 0, done.stdout
