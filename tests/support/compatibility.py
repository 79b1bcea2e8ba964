"""What files, prompts and settings of other programs work, and what is refused with which words: the table from which
`scripts/compatibility.py` writes a part of docs/guide/compatibility.md.

Each row names the test that holds it to its word; tests take the words of refusals from here.
"""
from __future__ import annotations

from dataclasses import dataclass

WORKS = "works"
TRAINERS_OF = {  # models -> the trainers whose names of layers are tested (`lora_writers.TRAINERS`)
    "sd": ("kohya", "kohya original", "comfyui", "diffusers unet", "old diffusers", "peft", "lycoris"),
    "sdxl": ("kohya", "kohya original", "comfyui", "diffusers unet", "peft"),
    "sd3": ("kohya original", "comfyui peft", "ai-toolkit", "onetrainer", "onetrainer dots", "peft", "bare"),
    "flux": ("kohya original", "comfyui", "comfyui peft", "ai-toolkit", "onetrainer", "onetrainer dots", "peft",
             "lycoris", "bare"),
    "flux2_klein": ("kohya original", "comfyui peft", "comfyui diffusers", "ai-toolkit", "onetrainer dots", "peft",
                    "bare", "lycoris"),
    "z_image": ("kohya", "kohya original", "comfyui", "comfyui diffusers", "ai-toolkit", "onetrainer",
                "onetrainer dots", "bare"),
    "qwen_image": ("kohya", "comfyui diffusers", "ai-toolkit", "onetrainer", "onetrainer dots", "peft", "bare",
                   "lycoris")}
NAMES = {"sd": "SD 1.5", "sdxl": "SDXL", "sd3": "SD 3.5", "flux": "Flux.1", "flux2_klein": "Flux.2 Klein",
         "z_image": "Z-Image", "qwen_image": "Qwen-Image"}
# What was done to a folder -> what the reason says; "" if it loads all the same.
FOLDERS = {
    "weights in several files": "",
    "only half precision": "",
    "plain fp8": "",
    "another pipeline of the family": "",
    "an encoder of pictures that is gone": "",
    "a safety checker as a pickle alone": "",
    "an unknown pipeline": "pipeline FooPipeline cannot be used",
    "a pipeline that edits": "pipeline StableDiffusionInstructPix2PixPipeline cannot be used",
    "a pipeline for sound": "pipeline AudioLDMPipeline cannot be used",
    "foreign code": "asks for foreign code: my_code.Net",
    "no scheduler": "part 'scheduler' is missing",
    "an empty scheduler": "scheduler_config.json cannot be opened",
    "an empty tokenizer": "part 'tokenizer' has no vocabulary",
    "a part without settings": "text_encoder/config.json cannot be opened",
    "truncated weights": "is broken or incomplete",
    "a pointer of Git LFS": "is broken or incomplete",
    "a missing file of several": "lacks 1 of the 2 files of its weights",
    "several files without a list": "no list of what is in which",
    "weights of another name": "weights under names that no library looks for",
    "bitsandbytes by its settings": "is packed as bitsandbytes, which cannot be read",
    "bitsandbytes by its tensors": "is packed as bitsandbytes, which cannot be read",
    "pickles": "has only pickle files",
    "no VAE": "names no part 'vae'",
    "no text encoder": "names no part 'text_encoder'",
    "a mark before the index": "begins with a byte order mark",
    "a mark before settings": "begins with a byte order mark",
    "eight channels": "It edits pictures by instruction (InstructPix2Pix)",
}


@dataclass(frozen=True)
class Row:
    """One line of the page.

    Attributes:
        what: What people have.
        outcome: What becomes of it: a sentence that begins with "works", or words of the refusal.
        test: The test that checks it, as file::name below `tests`.
    """

    what: str
    outcome: str
    test: str


def _folder_rows() -> tuple[Row, ...]:
    test = "engine/test_folders_as_they_are.py::test_a_folder_is_offered_if_it_loads_and_otherwise_named_with_the_reason"  # noqa: E501
    return tuple(Row(what, reason or WORKS, test) for what, reason in FOLDERS.items())


_TRAINED = "engine/test_extra_tensors.py::test_what_a_file_says_of_its_training_counts"
_PACKED = "engine/test_extra_tensors.py::test_other_packings_are_named"
_PROMPT = "core/test_prompt_syntax.py::"
_PICTURE = "library/test_foreign_settings.py::test_each_program_is_read"
SECTIONS: dict[str, tuple[Row, ...]] = {
    "Models in one file": (
        Row("SD 1.5, SD 2 and SDXL in the layout of Stability's checkpoints", WORKS,
            "engine/test_single_file.py::test_the_same_pictures_as_from_the_folder"),
        Row("a model of SD 2, whose file does not say what it predicts", "works: found from its weights, as ComfyUI does",  # noqa: E501
            "engine/test_single_file.py::test_what_a_model_of_sd_2_predicts_is_told_from_its_biases"),
        Row("scaled fp8 and int8 (`.scale_weight`, `.weight_scale`, `.weight_scale_inv`, `.comfy_quant`)", WORKS,
            "engine/test_extra_tensors.py::test_a_checkpoint_in_8_bits_paints_the_same_picture"),
        Row("bitsandbytes (nf4), GPTQ, AWQ, SVDQuant, nvfp4, mxfp8", "Its weights are packed as …, which cannot be read.",  # noqa: E501
            _PACKED),
        Row("prediction by ModelSpec's metadata or the tensors `v_pred`, `ztsnr`, `edm_…`", WORKS, _TRAINED),
        Row("tensors that nothing uses", "works: a note names them",
            "engine/test_extra_tensors.py::test_what_is_left_over_is_named_and_what_does_nothing_is_not"),
        Row("missing weights", "lacks some of its weights", "engine/test_extra_tensors.py::test_missing_weights_are_named"),  # noqa: E501
        Row("text encoders under NovelAI's names", WORKS,
            "engine/test_extra_tensors.py::test_text_encoders_as_novelai_names_them"),
        Row("no VAE or no text encoder", "works with that of another model of the family in the model folders",
            "engine/test_extra_tensors.py::test_a_checkpoint_takes_what_it_lacks_from_another"),
        Row("a VAE chosen by a person: a file in any layout, a folder, another model", WORKS,
            "engine/test_extra_tensors.py::test_a_vae_is_chosen_for_any_family"),
        Row("a transformer alone, or with its VAE and text encoders; also with names that begin with "
            "`model.diffusion_model.`, `diffusion_model.`, `transformer.`, `model.` or `net.`",
            "works with the other parts of a model of its family and size in diffusers format",
            "library/test_models.py::test_of_several_members_of_a_family_the_one_with_as_many_blocks_lends"),
        Row("a transformer as GGUF", WORKS,
            "engine/test_transformer_file.py::test_a_gguf_file_is_painted_with_its_weights_as_they_are"),
        Row("InstructPix2Pix, unCLIP, the SDXL refiner, other families", "is no model of SD 1.5, SD 2 or SDXL",
            "library/test_models.py::test_other_files_are_named_for_what_they_are"),
        Row("a pickle (.ckpt, .pt, .bin)", "is a pickle file, which could run any program when opened",
            "library/test_models.py::test_a_pickle_is_refused_with_the_reason"),
        Row("what a download would bring in a form that cannot be read", "refused before it is downloaded, as above",
            "workers/test_downloads.py::test_a_file_that_could_not_be_read_is_refused_before_it_is_downloaded")),
    "Model folders in diffusers format": _folder_rows(),
    "ControlNets in one file": (
        Row("diffusers' names: SD 1.5, SDXL, SDXL union, SD 3.5, Flux.1 (union too), Qwen-Image, Z-Image (all three editions), "  # noqa: E501
            "SANA", WORKS, "engine/test_controlnet_files.py::test_a_file_with_diffusers_names"),
        Row("the original names, with and without `control_model.`", WORKS,
            "engine/test_controlnet_files.py::test_a_file_with_the_original_names"),
        Row("Stability's control-LoRAs", WORKS,
            "engine/test_controlnet_files.py::test_a_control_lora_changes_the_models_own_encoder"),
        Row("one of another family", "it was made for …, not for …",
            "engine/test_controlnet_files.py::test_what_does_not_fit_is_refused_in_words")),
    "LoRAs": (
        Row("low rank, LoCon with a core, LoHa, LoKr, whole differences, norms, DoRA's magnitudes of either axis", WORKS,  # noqa: E501
            "engine/test_lycoris.py::test_every_kind_of_change"),
        Row("XLabs' names", WORKS, "engine/test_lora_trainers.py::test_xlabs_names_of_flux"),
        Row("text encoders in the names of kohya, ComfyUI, OneTrainer, diffusers", WORKS,
            "engine/test_lora_trainers.py::test_the_names_of_text_encoders"),
        Row("peft's `adapter_config.json` beside the file: alpha, rsLoRA", WORKS,
            "engine/test_lora_trainers.py::test_pefts_settings_beside_the_file_count"),
        Row("textual inversions in the file (`bundle_emb.…`)", "works where their word stands in the prompt (SD 1.5, SD 2, SDXL); "  # noqa: E501
            "elsewhere a note says so", "engine/test_embeddings.py::test_those_in_a_lora_count_where_their_word_stands"),  # noqa: E501
        Row("parts that do not fit", "works without them; they are named beside the LoRA",
            "engine/test_lora_trainers.py::test_parts_that_do_not_fit_are_named_and_the_rest_is_put_on"),
        Row("one for another family", "It was made for … models: choose one that was made for ….",
            "engine/test_lora_trainers.py::test_only_what_was_made_for_another_family_is_reported_as_such"),
        Row("control LoRAs", "It makes the model take another input",
            "engine/test_lycoris.py::test_what_fails_leaves_the_model_exactly_as_it_was"),
        Row("OFT, BOFT, GLoRA, IA3, VeRA", "is of the kind …, which cannot be put on",
            "engine/test_lora_names.py::test_a_lora_is_known_by_its_names"),
        Row("values that are not numbers (NaN)", "holds values that are not numbers",
            "engine/test_lora_trainers.py::test_values_that_are_not_numbers_are_named_and_the_model_stays_as_it_was"),
        Row("named with its folder (`styles/ink`), or as its trainer called it", WORKS,
            "library/test_adapters.py::test_named_with_the_folder_that_it_lies_in")),
    "Prompts": (
        Row("`(a:1.2)` `(a)` `[a]`, nested, with `\\(` for the character", WORKS, _PROMPT + "test_weights"),
        Row("`[a:b:0.5]` `[a:10]` `[a::0.5]` `[a\\|b]`", WORKS, _PROMPT + "test_words_that_change_with_the_step"),
        Row("`BREAK`", "works: a window of its own, a comma where the encoder has none",
            _PROMPT + "test_break_parts_what_is_read_at_once"),
        Row("`{a\\|b}` `{2$$a\\|b}` `{1-2$$ and $$a\\|b}` `{0.5::a\\|0.2::b}` `{~a\\|b}`", "works as in Dynamic Prompts",  # noqa: E501
            _PROMPT + "test_alternatives_are_those_of_dynamic_prompts"),
        Row("`__list__` `__folder/*__`; lists in UTF-8 (also with a mark), UTF-16, UTF-32, Latin-1, of any size", WORKS,
            "library/test_adapters.py::test_lists_are_read_in_the_encodings_that_people_have"),
        Row("lines of lists with `\\|`, `}`, tags, choices", "works: a line is one option",
            _PROMPT + "test_a_line_of_a_list_is_one_option_whatever_it_holds"),
        Row("`<lora:a:0.8:0.6>` `<lyco:…>`, also in choices and lists", WORKS, _PROMPT + "test_lora_tags"),
        Row("`AND`, `word++`, `(a)1.4`, `${x}`, `__a(x=1)__`, `[a:b:0,5]`, `<hypernet:…>`, `--ar 16:9`, comments",
            "reported: *Not understood in the prompt, and read as words: …*", _PROMPT + "test_notation_that_is_not_understood_is_named"),  # noqa: E501
        Row("NovelAI's `{{a}}`", "reported: *In {{a}} there is nothing to choose from, and braces give no weight*",
            _PROMPT + "test_braces_that_only_novelai_knows_are_named")),
    "Settings in pictures of other programs": (
        Row("A1111's web UI, Forge, Krita AI Diffusion (PNG, JPEG, WebP)", WORKS,
            "library/test_foreign_settings.py::test_the_text_of_a1111_forge_and_krita"),
        Row("the same with Hires, ADetailer, Civitai's JSON, textual inversions, lines of text", WORKS,
            "library/test_foreign_settings.py::test_a1111s_text_as_extensions_and_other_programs_write_it"),
        Row("hidden in the alpha channel", WORKS, "calls/test_recalling.py::test_settings_hidden_in_the_alpha_channel"),
        Row("ComfyUI's graphs, with nodes of extensions", WORKS,
            "library/test_comfy_graph.py::test_what_a_graph_paints_with"),
        Row("InvokeAI, Fooocus, NovelAI, SwarmUI", WORKS, _PICTURE),
        Row("InvokeAI's line of options, Fooocus' log", WORKS,
            "library/test_foreign_settings.py::test_older_and_newer_notations_of_a_program"),
        Row("NovelAI's weights", "works: brought into ours",
            "library/test_foreign_settings.py::test_weights_of_novelai_are_ours"),
        Row("samplers under any program's name", WORKS, "core/test_samplers.py::test_names_of_any_program_are_known"),
        Row("seeds up to 2⁶⁴ − 1", WORKS, "core/test_seeds.py::test_seeds_are_kept_to_the_last_digit"),
        Row("what has no counterpart here", "works: it is listed",
            "calls/test_recalling.py::test_what_cannot_be_a_setting_here_is_listed")),
}
